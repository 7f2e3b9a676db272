"""The report's part on inputs that get worse: noise of graded strength, and absence in more and more rows."""

from collections.abc import Mapping
from html import escape
from typing import Any

from motet.evaluation.figure import figure, metric_name
from motet.evaluation.series_chart import series_chart
from motet.evaluation.table import measured, table, value_of, words

WAYS = (
    ("noise", "level", "noise", "strength of the noise"),
    ("absence", "rate", "absence", "share of rows without it"),
)


def robustness(report: Mapping[str, Any]) -> str:
    """Curves of each task over noise and absence of each input, and their two summary figures."""
    charts = [
        drawn
        for task, result in report["tasks"].items()
        for way, at, name, x_label in WAYS
        if (drawn := _chart(report, task, metric_name(result["primary"]), way, at, name, x_label))
    ]
    figures = _figures(report)
    if not charts and not figures:
        return ""
    return (
        "<h3>As an input gets worse</h3><p class='hint'>The first metric as one input becomes noise, or is missing in "
        f"more rows, the others as they are.</p><div class='charts'>{''.join(charts)}</div>{figures}"
    )


def _found(one: Mapping[str, Any], task: str) -> Mapping[str, Any]:
    return (one.get("robustness") or {}).get(task) or {}


def _chart(report: Mapping[str, Any], task: str, metric: str, way: str, at: str, name: str, x_label: str) -> str:
    series = {
        given: [(p[at], p["value"]) for p in _found(one, task).get(way) or () if p.get("value") is not None]
        for given, one in report["inputs"].items()
    }
    drawn = series_chart(series, title=f"{task}: {metric} over {name} of each input", x_label=x_label, dots=True)
    kind = f"<span class='kind'>{escape(metric)}</span>"
    return f"<div class='card'><h4>{escape(task)}: {name}{kind}</h4>{drawn}</div>" if drawn else ""


def _figures(report: Mapping[str, Any]) -> str:
    rows = [
        [words(name), words(task), _bounded(found.get("relative")), _effective(found.get("effective"))]
        for name, one in report["inputs"].items()
        for task in report["tasks"]
        if _has_figures(found := _found(one, task))
    ]
    if not rows:
        return ""
    headings = [("input", ""), ("task", ""), ("relative", "number"), ("effective", "number")]
    return (
        "<p class='hint'>Relative robustness is the share of the score that is kept, over all levels of noise; "
        "effective robustness that share less the one kept when the input is absent as often: above zero, a noisy "
        "input still tells more than none (after MultiBench, Liang et al., NeurIPS 2021).</p>"
        f"{table(headings, rows, label='Robustness of the tasks to each input')}"
    )


def _bounded(one: Any) -> str:
    """A figure with its interval; without it in reports of a time that had none."""
    return measured(one) if isinstance(one, Mapping) else figure(one)


def _effective(one: Any) -> str:
    """Advice stands where the interval leaves no doubt."""
    known = isinstance(one, Mapping) and one.get("high") is not None
    worse = known and one["value"] is not None and one["high"] < 0
    return _bounded(one) + (" <span class='bad-text'>better left out than noisy</span>" if worse else "")


def _has_figures(found: Mapping[str, Any]) -> bool:
    return any(value_of(found.get(name)) is not None for name in ("relative", "effective"))
