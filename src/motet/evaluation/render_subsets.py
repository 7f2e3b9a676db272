"""The report's table of scores with fewer inputs."""

from collections.abc import Mapping, Sequence
from typing import Any

from motet.evaluation.figure import figure, metric_name
from motet.evaluation.table import table

MOST_SHOWN = 64


def subsets(report: Mapping[str, Any]) -> str:
    """The same model with each subset of inputs; the best value of each task stands out."""
    found, tasks, inputs = report.get("subsets") or [], report["tasks"], list(report["inputs"])
    if not found:
        return ""
    best = {task: _best([s["metrics"].get(task) for s in found], _higher(one)) for task, one in tasks.items()}
    headings = [("inputs", ""), *((name, "") for name in inputs)]
    headings += [(f"{task} {metric_name(one['primary'])}", "number") for task, one in tasks.items()]
    rows = []
    for subset in sorted(found, key=lambda subset: -len(subset["inputs"]))[:MOST_SHOWN]:
        given = ["with" if name in subset["inputs"] else "<span class='gone'>without</span>" for name in inputs]
        values = [_value(subset["metrics"].get(task), best[task]) for task in tasks]
        rows.append([str(len(subset["inputs"])), *given, *values])
    more = len(found) - len(rows)
    left = f" {more:,} more are in report.json." if more else ""
    return (
        "<h3>With fewer inputs</h3><p class='hint'>The same model, the rest taken away from every row. In green the "
        f"best value of each task. {on_rows(report)}{left}</p>{table(headings, rows, label='Scores with fewer inputs')}"
    )


def on_rows(report: Mapping[str, Any]) -> str:
    """Why these scores differ from those above."""
    rows = report.get("subset_rows")
    return f"Found on {rows:,} of the scored rows, spread evenly." if rows else ""


def _higher(task: Mapping[str, Any]) -> bool:
    return bool(task["metrics"][task["primary"]]["higher_is_better"])


def _best(values: Sequence[float | None], higher_is_better: bool) -> float | None:
    known = [value for value in values if value is not None]
    return (max if higher_is_better else min)(known) if known else None


def _value(value: float | None, best: float | None) -> str:
    shown = figure(value)
    return f"<span class='best'>{shown}</span>" if value is not None and value == best else shown
