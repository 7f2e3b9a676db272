"""The model card (Mitchell et al., Model Cards for Model Reporting, FAT* 2019): what the report knows, in short."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from motet.evaluation.figure import figure, interval, metric_name, percent
from motet.evaluation.render_training import fact
from motet.evaluation.words import sentence, sign_of, where

TO_FILL = (
    "For you to fill in: who is to use it for what, and what it must not be used for. That can not be found in a table."
)
HOW = ("epochs", "best_epoch", "steps", "seconds", "fusion", "sharing", "balance", "parameters", "init_from")


def model_card(report: Mapping[str, Any]) -> str:
    """What it is for, data, inputs, tasks, metrics, limits found, how it was trained."""
    training = report["training"]
    parts = {
        "What it is for": [TO_FILL],
        "Data": _data(report),
        "Inputs": [_inputs(report)],
        "Tasks and metrics": [sentence(name, task) for name, task in report["tasks"].items()],
        "Limits found": list(_limits(report)) or ["None were looked for."],
        "How it was trained": [
            "; ".join(f"{name.replace('_', ' ')} {fact(training[name])}" for name in HOW if name in training)
        ],
        "Seed and versions": ["; ".join(f"{n} {fact(training[n])}" for n in ("seed", "versions") if n in training)],
        "Warnings of the run": [str(one) for one in training.get("warnings") or ()],
    }
    items = "".join(
        f"<dt>{escape(name)}</dt>{''.join(f'<dd>{escape(line)}</dd>' for line in lines if line)}"
        for name, lines in parts.items()
        if any(lines)
    )
    return (
        "<section id='model-card' aria-labelledby='model-card-name'><h2 id='model-card-name'>Model card</h2>"
        f"<div class='card'><dl class='model-card'>{items}</dl></div></section>"
    )


def _data(report: Mapping[str, Any]) -> list[str]:
    rows = report["training"].get("rows")
    split = f"Rows: {fact(rows)}. " if rows else ""
    scored = {"test": "the test rows", "valid": "the validation rows, which also chose the weights"}
    return [f"{split}Scored on {scored[report['rows_scored']]}."]


def _inputs(report: Mapping[str, Any]) -> str:
    shares = {name: one.get("present_fraction") for name, one in report["inputs"].items()}
    return ", ".join(name if s is None else f"{name} (in {percent(s)} of the rows)" for name, s in shares.items())


def _limits(report: Mapping[str, Any]) -> Iterator[str]:
    for name, task in report["tasks"].items():
        for one in [one for one in task.get("slices") or () if sign_of(one.get("difference"))][:2]:
            found, metric = one["metric"], metric_name(one.get("by") or task["primary"])
            shown = f"{figure(found['value'])} {interval(found.get('low'), found.get('high'))}".strip()
            yield f"{name}, worst where {where(one)}: {metric} {shown} on {one['rows']:,} rows."
        error = (task.get("calibration") or {}).get("after")
        if error is not None:
            yield f"{name}: stated probabilities are off by {figure(error)} on average."
        coverage = task.get("coverage") or {}
        if (coverage.get("found") or {}).get("value") is not None:
            kind = "sets" if coverage.get("kind") == "set" else "intervals"
            stated, held = percent(coverage["stated"]), percent(coverage["found"]["value"])
            yield f"{name}: {kind} stated to hold the truth in {stated} of rows do in {held}."
    yield from _absent(report)


def _absent(report: Mapping[str, Any]) -> Iterator[str]:
    """What is left where the input that a task needs most is not there."""
    subsets = {frozenset(one["inputs"]): one["metrics"] for one in report.get("subsets") or ()}
    inputs = frozenset(report["inputs"])
    for name, task in report["tasks"].items():
        sign = 1 if task["metrics"][task["primary"]]["higher_is_better"] else -1
        whole = (subsets.get(inputs) or {}).get(name)
        without = {one: (subsets.get(inputs - {one}) or {}).get(name) for one in inputs if len(inputs) > 1}
        known = {one: value for one, value in without.items() if value is not None}
        if known and len(known) == len(inputs):  # the worst of some would not be the worst
            worst = min(sorted(known), key=lambda one: sign * known[one])
            metric = metric_name(task["primary"])
            yield f"{name} without {worst}: {metric} {figure(known[worst])}, with all inputs {figure(whole)}."
