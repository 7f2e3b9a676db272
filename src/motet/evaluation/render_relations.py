"""The report's part on how tasks relate: their gradients over all of training, and over time."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from motet.evaluation.charts import thinned
from motet.evaluation.figure import figure
from motet.evaluation.series_chart import series_chart
from motet.evaluation.table import heat_table

MOST_LINES = 8
Matrix = dict[str, dict[str, float | None]]


def relations_section(report: Mapping[str, Any], curves: Sequence[Mapping[str, Any]]) -> str:
    """Cosines, conflicts, affinities, and what the log holds of them; nothing where no two tasks were compared."""
    found = report.get("relations") or {}
    pairs = found.get("pairs") or {}
    charts = "".join(
        f"<div class='card'><h4>{escape(t)}</h4>{drawn}</div>" for t, drawn in _over_time(report, curves) if drawn
    )
    if not pairs and not charts:
        return ""
    timed = f"<h3>Over time</h3>{_clipped(curves)}<div class='charts'>{charts}</div>" if charts else ""
    return (
        "<section id='relations' aria-labelledby='relations-name'><h2 id='relations-name'>How the tasks relate</h2>"
        f"{_lead(found)}{_matrices(found)}{timed}</section>"
    )


def _lead(found: Mapping[str, Any]) -> str:
    if not found.get("pairs"):
        return ""
    return (
        "<p class='hint'>Gradients of the tasks' losses at everything they share, compared every "
        f"{figure(found.get('every'), digits=0)} steps.</p>"
    )


def _matrices(found: Mapping[str, Any]) -> str:
    pairs, affinity = found.get("pairs") or {}, found.get("affinity") or {}
    tasks = list(found.get("tasks") or sorted({*pairs, *(o for row in pairs.values() for o in row)}))
    if not pairs:
        return ""
    drawn = [
        _matrix(
            "Cosine of gradients", "1: they want the same; below 0: they pull apart.", _both(pairs, "cosine"), tasks, 1
        ),
        _matrix("Share of steps in conflict", "How often the cosine was below 0.", _both(pairs, "conflicts"), tasks, 1),
    ]
    means = {a: {b: one.get("mean") for b, one in row.items()} for a, row in affinity.items()}
    said = (
        "The share of the column's loss that a step for the row's task takes off (TAG, Fifty et al., NeurIPS 2021, to "
        "first order), in thousandths. Above zero the row's task helps the column's."
    )
    thousandths = {a: {b: None if v is None else 1000 * v for b, v in row.items()} for a, row in means.items()}
    sizes = [abs(v) for row in thousandths.values() for v in row.values() if v is not None]
    if sizes:
        drawn.append(_matrix("Affinity of a task (row) to another (column)", said, thousandths, tasks, max(sizes)))
    return "".join(drawn)


def _matrix(title: str, said: str, values: Matrix, tasks: Sequence[str], most: float) -> str:
    rows = {task: values.get(task, {}) for task in tasks if values.get(task)}
    tops = dict.fromkeys(tasks, float(most))
    drawn = heat_table(rows, columns=list(tasks), label=title, corner="task", most=tops)
    return f"<h3>{title}</h3><p class='hint'>{said}</p>{drawn}"


def _both(pairs: Mapping[str, Mapping[str, Mapping[str, Any]]], what: str) -> Matrix:
    """Each pair under both of its tasks."""
    found: Matrix = {}
    for task, row in pairs.items():
        for other, one in row.items():
            found.setdefault(task, {})[other] = one.get(what)
            found.setdefault(other, {})[task] = one.get(what)
    return found


def _over_time(report: Mapping[str, Any], curves: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    cosines = _largest(_pairs_over_time(curves))
    cosine = series_chart(cosines, title="Mean cosine of each pair of tasks by epoch", x_label="step", level=0.0)
    weights = series_chart(
        _lines(curves, "weights", list(report["tasks"])),
        title="Weight of each task's loss over the steps",
        x_label="step",
    )
    factors = series_chart(
        _lines(curves, "factors", ["joint", *report["inputs"]]),
        title="Factor on the gradient of each input over the steps",
        x_label="step",
    )
    return [
        ("Cosine of each pair; below the dashed line they conflict", cosine),
        ("Weight of each task", weights),
        ("Factor on each input's gradient", factors),
    ]


def _pairs_over_time(curves: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for line in curves:
        for task, row in (line.get("cosines") or {}).items():
            for other, value in row.items():
                if value is not None:
                    found.setdefault(f"{task} and {other}", []).append((line["step"], value))
    return {pair: points for pair, points in found.items() if len(points) > 1}


def _largest(series: dict[str, list[tuple[float, float]]]) -> dict[str, list[tuple[float, float]]]:
    """The pairs that conflict most, where there are too many to tell apart."""
    lowest = sorted(series, key=lambda pair: sum(y for _, y in series[pair]) / len(series[pair]))
    return {pair: series[pair] for pair in sorted(lowest[:MOST_LINES])}


def _clipped(curves: Sequence[Mapping[str, Any]]) -> str:
    many = len(_pairs_over_time(curves))
    return f"<p class='hint'>Of {many} pairs the {MOST_LINES} that conflict most.</p>" if many > MOST_LINES else ""


def _lines(
    curves: Sequence[Mapping[str, Any]], what: str, order: Sequence[str]
) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for line in curves:
        values = line.get(what)
        for name, value in values.items() if isinstance(values, Mapping) and "step" in line else ():
            if isinstance(value, int | float):
                found.setdefault(name or "joint", []).append((line["step"], float(value)))
    names = dict.fromkeys([*order, *sorted(found)])  # each name in the colour it has elsewhere on the page
    return {name: thinned(found[name]) for name in names if len(found.get(name, ())) > 1}
