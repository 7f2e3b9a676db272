"""The report's part on trust in a task's answers: probabilities, coverage, doubt, groups of rows, suspected labels."""

from collections.abc import Mapping
from html import escape
from typing import Any

from motet.evaluation.figure import figure, metric_name, percent, percents
from motet.evaluation.series_chart import area_chart, reliability_pair
from motet.evaluation.table import measured, table, words
from motet.evaluation.words import sign_of, where

MOST_GROUPS = 30


def trust_charts(name: str, task: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Titles and what is drawn below them."""
    answered = task.get("abstention") or ()
    metric = metric_name(next((one["metric"] for one in answered if one.get("metric")), task["primary"]))
    found = [
        ("Does it mean its probabilities?", _calibration(name, task.get("calibration") or {})),
        (
            f"{metric} if it may abstain",
            area_chart(
                answered,
                x="kept",
                title=f"{name}: {metric} by the share of rows that are answered, the surest first",
                x_label="share of rows answered, the surest first",
            ),
        ),
        (_held(task.get("coverage") or {}), _coverage(task.get("coverage") or {})),
    ]
    return [(title, drawn) for title, drawn in found if drawn]


def trust_tables(name: str, task: Mapping[str, Any]) -> str:
    """Groups of rows on which the task is done better or worse, and labels that may be wrong."""
    return _subgroups(name, task) + _slices(name, task) + _suspects(name, task)


def _calibration(name: str, found: Mapping[str, Any]) -> str:
    fitted = found.get("temperature") is not None
    before = (found.get("bins_before") or ()) if fitted else ()
    chart = reliability_pair(before, found.get("bins") or (), title=f"{name}: share right by stated probability")
    facts = []
    if found.get("after") is not None:
        then = f", {figure(found['before'])} before calibration" if fitted and found.get("before") is not None else ""
        facts.append(f"Calibration error {figure(found['after'])}{then}.")
    if fitted:
        part = {"valid": "validation", "train": "training"}.get(found.get("fitted_on") or "", "other")
        facts.append(f"Temperature {figure(found['temperature'])}, fitted on {part} rows{_same(found)}.")
    hint = f"<p class='hint'>{escape(' '.join(facts))}</p>" if facts else ""
    return hint + chart


def _same(found: Mapping[str, Any]) -> str:
    """Where what was fitted is judged on the rows it was fitted on."""
    return ": these very rows, so new ones will do a little worse" if found.get("same_rows") else ""


def _held(found: Mapping[str, Any]) -> str:
    return "Do its sets hold the truth?" if found.get("kind") == "set" else "Do its intervals hold?"


def _coverage(found: Mapping[str, Any]) -> str:
    held = found.get("found") or {}
    if held.get("value") is None or found.get("stated") is None:
        return ""
    sets = found.get("kind") == "set"
    size = "labels in a set, on average" if sets else "width, on average"
    facts = [
        ("stated", percent(found["stated"])),
        ("found", f"{percent(held['value'])} {percents(held)}".strip()),
        (size, figure(found.get("size"))),
    ]
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    kind = "set of labels" if sets else "interval"
    fitted = f" It was fitted on validation rows{_same(found)}." if found.get("same_rows") else ""
    return (
        f"<p class='hint'>How often the {kind} that goes with an answer holds the truth.{fitted}</p>"
        f"<dl class='facts'>{rows}</dl>"
    )


def _subgroups(name: str, task: Mapping[str, Any]) -> str:
    parts = []
    for column, groups in (task.get("subgroups") or {}).items():
        rows = [
            [words(one["value"]), f"{one['rows']:,}", measured(one.get("metric")), _difference(one, task)]
            for one in groups[:MOST_GROUPS]
        ]
        if rows:
            more = len(groups) - len(rows)
            left = f"<p class='hint'>{more:,} more are in report.json.</p>" if more > 0 else ""
            headings = [(column, ""), ("rows", "number"), (metric_name(task["primary"]), "number")]
            headings.append(("against all other rows", "number"))
            parts.append(table(headings, rows, label=f"{name} by {column}") + left)
    if not parts:
        return ""
    return (
        "<h3>By group of rows</h3><p class='hint'>Each interval is by itself: of twenty groups that do not differ "
        f"about one seems to.</p><div class='stack'>{''.join(parts)}</div>"
    )


def _slices(name: str, task: Mapping[str, Any]) -> str:
    found = list(task.get("slices") or ())
    rows = [
        [words(where(one)), f"{one['rows']:,}", measured(one.get("metric")), _difference(one, task)] for one in found
    ]
    if not rows:
        return ""
    metric = metric_name(found[0].get("by") or task["primary"])
    headings = [("rows where", ""), ("rows", "number"), (metric, "number"), ("against all other rows", "number")]
    return (
        "<h3>Where it does worst</h3><p class='hint'>Found by a search over columns and pairs of them. What a search "
        "finds looks a little worse than it is: try it on new rows.</p>"
        f"{table(headings, rows, label=f'{name}: worst slices')}"
    )


def _difference(one: Mapping[str, Any], task: Mapping[str, Any]) -> str:
    """In the colour of good or bad where the interval leaves no doubt."""
    metric = task["metrics"].get(one.get("by") or task["primary"], {"higher_is_better": True})
    better = sign_of(one.get("difference")) * (1 if metric["higher_is_better"] else -1)
    shown = measured(one.get("difference"))
    return f"<span class='{'good-text' if better > 0 else 'bad-text'}'>{shown}</span>" if better else shown


def _suspects(name: str, task: Mapping[str, Any]) -> str:
    rows = [
        [
            words(one["row"]),
            words(one["label"]),
            words(one["answer"]),
            figure(one.get("probability")),
            figure(one.get("margin")),
        ]
        for one in task.get("suspects") or ()
    ]
    if not rows:
        return ""
    headings = [("row", ""), ("its label", ""), ("the model's answer", ""), ("its probability", "number")]
    headings.append(("that of the label less it", "number"))
    return (
        "<h3>Labels that may be wrong</h3><p class='hint'>The model is sure of another answer than the label; "
        f"the most suspicious first.</p>{table(headings, rows, label=f'{name}: label suspects')}"
    )
