"""`report.html`: one file that needs no network, drawn from `report.json`, the log and what each task has to show.

Everything from the user's table is escaped, pictures and sounds are data URIs of known types, and a content policy
forbids scripts and requests, so that a table can not put anything into the page but what is seen.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from motet.evaluation.charts import contribution_bars, curve
from motet.evaluation.details import Details
from motet.evaluation.figure import figure, metric_name, percent
from motet.evaluation.page import page
from motet.evaluation.render_task import task_card, task_section


def render_html(
    report: Mapping[str, Any],
    curves: Sequence[Mapping[str, Any]],
    details: Mapping[str, Details],
    *,
    title: str = "motet",
) -> str:
    """The page for a report (`build_report`), the lines of `log.jsonl`, and the details of tasks by name."""
    tasks = report["tasks"]
    body = [
        f"<header><h1>{escape(title)}</h1><p class='lead'>{_lead(report)}</p></header>",
        f"<div class='grid'>{''.join(task_card(name, task) for name, task in tasks.items())}</div>",
        *(task_section(name, task, details.get(name, Details())) for name, task in tasks.items()),
        _inputs(report),
        _subsets(report),
        _training(report, curves),
        "<footer>Brackets hold the 95% interval of a bootstrap over the scored rows. "
        "The baseline gives every row the same answer, the best one for the training labels.</footer>",
    ]
    return page(title, "".join(body))


def _lead(report: Mapping[str, Any]) -> str:
    words = {
        "test": "the test rows",
        "valid": "the validation rows, which also chose the weights: there is no test set",
    }
    tasks, inputs = len(report["tasks"]), len(report["inputs"])
    return (
        f"One model, {inputs} input{'s' * (inputs != 1)}, {tasks} task{'s' * (tasks != 1)}. "
        f"Scored on {words[report['rows_scored']]}."
    )


def _inputs(report: Mapping[str, Any]) -> str:
    inputs = report["inputs"]
    methods = {one.get("method") for one in inputs.values()} - {None}
    meaning = {
        "shapley": "its gain in the task's first metric, averaged over all orders in which the inputs could join "
        "(Shapley value); the gains of a task add up to what all inputs bring together.",
        "leave_one_out": "what the task's first metric loses when this input alone is taken away.",
    }
    hint = "".join(
        f"<p class='hint'>The contribution of an input is {meaning[m]} {_on_rows(report)}</p>"
        for m in methods
        if m in meaning
    )
    present = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{percent(one['present_fraction'])}</dd></div>" for name, one in inputs.items()
    )
    charts = []
    for task, result in report["tasks"].items():
        parts = {name: one["contribution"][task] for name, one in inputs.items() if task in one["contribution"]}
        drawn = contribution_bars(parts, title=f"{task}: contribution of each input")
        if drawn:
            name = metric_name(result["primary"])
            charts.append(
                f"<div class='card'><h3>{escape(task)}<span class='kind'>{escape(name)}</span></h3>{drawn}</div>"
            )
    return (
        f"<section><h2>What each input contributes</h2>{hint}<div class='charts'>{''.join(charts)}</div>"
        f"<div class='card'><h3>In how many rows each is present</h3><dl class='facts'>{present}</dl></div></section>"
    )


def _subsets(report: Mapping[str, Any]) -> str:
    subsets, tasks, inputs = report["subsets"], report["tasks"], list(report["inputs"])
    if not subsets:
        return ""
    best = {task: _best([s["metrics"].get(task) for s in subsets], _primary(one)) for task, one in tasks.items()}
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in inputs) + "".join(
        f"<th scope='col' class='number'>{escape(task)}<br>{escape(metric_name(one['primary']))}</th>"
        for task, one in tasks.items()
    )
    rows = []
    for subset in sorted(subsets, key=lambda subset: -len(subset["inputs"])):
        given = "".join(
            "<td>with</td>" if name in subset["inputs"] else "<td class='gone'>without</td>" for name in inputs
        )
        values = "".join(_subset_value(subset["metrics"].get(task), best[task]) for task in tasks)
        rows.append(f"<tr>{given}{values}</tr>")
    return (
        "<section><h2>With fewer inputs</h2>"
        "<p class='hint'>The same model, the rest taken away from every row. In green the best value of each task. "
        f"{_on_rows(report)}</p>"
        f"<div class='card scroll'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _on_rows(report: Mapping[str, Any]) -> str:
    """Why these scores differ from those above."""
    rows = report.get("subset_rows", "some")
    return f"Found on {rows} of the scored rows, spread evenly, within a tenth of the training's work."


def _primary(task: Mapping[str, Any]) -> bool:
    return bool(task["metrics"][task["primary"]]["higher_is_better"])


def _best(values: Sequence[float | None], higher_is_better: bool) -> float | None:
    known = [value for value in values if value is not None]
    return (max if higher_is_better else min)(known) if known else None


def _subset_value(value: float | None, best: float | None) -> str:
    style = "number best" if value is not None and value == best else "number"
    return f"<td class='{style}'>{figure(value)}</td>"


def _training(report: Mapping[str, Any], curves: Sequence[Mapping[str, Any]]) -> str:
    charts = []
    for task, result in report["tasks"].items():
        primary = result["primary"]
        steps = [(line["step"], line["losses"][task]) for line in curves if task in _of(line, "losses")]
        means = [(line["step"], line["train"][task]) for line in curves if task in _of(line, "train")]
        valid = [
            (line["step"], line["valid"][task][primary]) for line in curves if primary in _of(_of(line, "valid"), task)
        ]
        kept = _best_step(curves)
        best = next((point for point in _known(valid) if point[0] == kept), None)
        pictures = (
            (
                f"{task}: loss",
                curve(_known(steps) or _known(means), means=_known(means), title=f"{task}: training loss"),
            ),
            (
                f"{task}: {metric_name(primary)} on validation rows",
                curve(_known(valid), title=f"{task}: {primary} over training", best=best),
            ),
        )
        charts += [f"<div class='card'><h3>{escape(name)}</h3>{drawn}</div>" for name, drawn in pictures if drawn]
    facts = "".join(
        f"<div><dt>{escape(str(name).replace('_', ' '))}</dt><dd>{escape(_fact(value))}</dd></div>"
        for name, value in report["training"].items()
    )
    return (
        f"<section><h2>Training</h2><div class='charts'>{''.join(charts)}</div>"
        f"<div class='card'><dl class='facts'>{facts}</dl></div></section>"
    )


def _best_step(curves: Sequence[Mapping[str, Any]]) -> int | None:
    """The step whose weights were kept: the first validation of the highest gain."""
    gains = [(line["gain"], line["step"]) for line in curves if line.get("gain") is not None]
    return max(gains, key=lambda pair: pair[0])[1] if gains else None


def _known(points: Sequence[tuple[float, float | None]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if y is not None]


def _of(line: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = line.get(name)
    return value if isinstance(value, Mapping) else {}


def _fact(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return figure(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_fact(item)}" for name, item in value.items()) or "none"
    return ", ".join(map(_fact, value)) or "none" if isinstance(value, list | tuple) else str(value)
