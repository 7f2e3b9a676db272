"""The report's part on training: losses and scores over the steps, and the facts of the run."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from motet.evaluation.charts import curve
from motet.evaluation.figure import figure, metric_name


def training_section(report: Mapping[str, Any], curves: Sequence[Mapping[str, Any]]) -> str:
    """Curves of each task, and the facts; nothing for a model that was not trained here."""
    charts = [card for name, task in report["tasks"].items() for card in _of_task(name, task["primary"], curves)]
    facts = "".join(
        f"<div><dt>{escape(str(name).replace('_', ' '))}</dt><dd>{escape(fact(value))}</dd></div>"
        for name, value in report["training"].items()
    )
    if not charts and not facts:
        return ""
    drawn = f"<div class='charts'>{''.join(charts)}</div>" if charts else ""
    listed = f"<div class='card'><dl class='facts'>{facts}</dl></div>" if facts else ""
    return (
        "<section id='training' aria-labelledby='training-name'><h2 id='training-name'>Training</h2>"
        f"{drawn}{listed}</section>"
    )


def fact(value: Any) -> str:
    """A plain value in words.

    >>> fact({"train": 1050, "valid": 225}), fact([]), fact(None)
    ('train 1,050, valid 225', 'none', 'none')
    """
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return figure(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {fact(item)}" for name, item in value.items()) or "none"
    return ", ".join(map(fact, value)) or "none" if isinstance(value, list | tuple) else str(value)


def _of_task(task: str, primary: str, curves: Sequence[Mapping[str, Any]]) -> list[str]:
    steps = _known([(line["step"], line["losses"][task]) for line in curves if task in _of(line, "losses")])
    means = _known([(line["step"], line["train"][task]) for line in curves if task in _of(line, "train")])
    valid = _known(
        [(line["step"], line["valid"][task][primary]) for line in curves if primary in _of(_of(line, "valid"), task)]
    )
    kept = _best_step(curves)
    best = next((point for point in valid if point[0] == kept), None)
    pictures = (
        (f"{task}: loss", curve(steps or means, means=means, title=f"{task}: training loss")),
        (
            f"{task}: {metric_name(primary)} on validation rows",
            curve(valid, title=f"{task}: {primary} over training", best=best),
        ),
    )
    return [f"<div class='card'><h3>{escape(name)}</h3>{drawn}</div>" for name, drawn in pictures if drawn]


def _best_step(curves: Sequence[Mapping[str, Any]]) -> int | None:
    """The step whose weights were kept: the first validation of the highest gain."""
    gains = [(line["gain"], line["step"]) for line in curves if line.get("gain") is not None]
    return max(gains, key=lambda pair: pair[0])[1] if gains else None


def _known(points: Sequence[tuple[float, float | None]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if y is not None]


def _of(line: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = line.get(name)
    return value if isinstance(value, Mapping) else {}
