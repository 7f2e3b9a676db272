"""The report's part about one task: its verdict, its figures beside the baselines, where it errs."""

import re
from collections.abc import Mapping
from html import escape
from typing import Any

from motet.evaluation.charts import heat_map, interval_mark, label_bars, reliability_chart, scatter_chart
from motet.evaluation.details import Details
from motet.evaluation.figure import MINUS, figure, interval, metric_name
from motet.evaluation.render_mistakes import mistakes
from motet.evaluation.render_trust import trust_charts, trust_tables
from motet.evaluation.table import measured, table, words
from motet.evaluation.words import badge, gain_of, sentence, sign_of

BASELINES = {"linear": "linear", "trees": "trees"}


def task_card(name: str, task: Mapping[str, Any]) -> str:
    """The task at a glance, leading to its section."""
    score, base = task["metrics"][task["primary"]], task["baseline"][task["primary"]]
    return (
        f"<a class='card' href='#{anchor(name)}' aria-label='{escape(sentence(name, task))}'>"
        f"<h2>{escape(name)}<span class='kind'>{escape(task['kind'])}, {task['rows']:,} rows</span></h2>"
        f"<div><span class='big'>{figure(score['value'])}</span> "
        f"<span class='unit'>{escape(metric_name(task['primary']))} "
        f"{interval(score['low'], score['high'])}</span></div>"
        f"{interval_mark(score, base, title=sentence(name, task))}"
        f"<p class='verdict'>{_badge(task)} <span class='unit'>constant answer {figure(base)}</span></p></a>"
    )


def task_section(name: str, task: Mapping[str, Any], details: Details) -> str:
    """Everything about the task."""
    return (
        f"<section id='{anchor(name)}' aria-labelledby='{anchor(name)}-name'>"
        f"<h2 id='{anchor(name)}-name'>{escape(name)}<span class='kind'>{escape(task['kind'])}</span></h2>"
        f"<p>{escape(sentence(name, task))}. {_badge(task)}</p>{_metrics(name, task)}{_beside(name, task)}"
        f"{_tables(name, task)}{_charts(name, task, details)}{trust_tables(name, task)}{mistakes(details)}"
        "</section>"
    )


def anchor(name: str) -> str:
    """The id of a task's section."""
    return "task-" + re.sub(r"[^A-Za-z0-9_-]", lambda match: f".{ord(match[0]):x}", name)


def _badge(task: Mapping[str, Any]) -> str:
    tone, said = badge(task)
    return f"<span class='badge {tone}'>{escape(said)}</span>" if said else ""


def _baselines(task: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: one for name, one in (task.get("baselines") or {}).items() if one}


def _metrics(name: str, task: Mapping[str, Any]) -> str:
    """One row for each metric; bounds stand beside the value, what is simpler behind them."""
    beside = _baselines(task)
    headings = [("metric", ""), ("value", "number"), ("interval", ""), ("trivial", "number")]
    headings += [*((BASELINES.get(one, one), "number") for one in beside), ("", "mark")]
    rows = []
    for metric, score in task["metrics"].items():
        base = task["baseline"].get(metric)
        title = f"{metric_name(metric)} {figure(score['value'])}, baseline {figure(base)}"
        others = [figure(((one.get("metrics") or {}).get(metric) or {}).get("value")) for one in beside.values()]
        arrow = "" if score["higher_is_better"] else " <span class='kind'>lower is better</span>"
        rows.append(
            [
                words(metric_name(metric)) + arrow,
                figure(score["value"]),
                f"<span class='range'>{interval(score['low'], score['high'])}</span>",
                figure(base),
                *others,
                interval_mark(score, base, title=title),
            ]
        )
    styles = ["primary" if metric == task["primary"] else "" for metric in task["metrics"]]
    return table(headings, rows, label=f"{name}: metrics beside baselines", styles=styles)


def _beside(name: str, task: Mapping[str, Any]) -> str:
    """How much better than what is simpler, on the same drawn rows, and than a model of this task alone."""
    found = {BASELINES.get(one, one): said for one, said in _baselines(task).items()}
    gain = gain_of(task)
    found |= {"a model of this task alone": {"difference": gain}} if gain else {}
    rows = [
        [words(one), _gained(said.get("difference")), _judged(said.get("difference")), _count(said.get("rows"))]
        for one, said in found.items()
    ]
    if not rows:
        return ""
    headings = [("beside", ""), ("how much better", "number"), ("", ""), ("training rows it saw", "number")]
    metric = escape(metric_name(task["primary"]))
    return (
        f"<h3>Against what is simpler</h3><p class='hint'>The difference in {metric}, signed so that above zero "
        "the model is better; both are judged on the same drawn rows.</p>"
        f"{table(headings, rows, label=f'{name}: beside what is simpler')}"
    )


def _gained(one: Mapping[str, Any] | None) -> str:
    if not one or not one.get("relative"):
        return measured(one)
    if one.get("low") is None or one.get("high") is None:
        return f"{100 * one['value']:.1f}%".replace("-", MINUS)
    low, high = (f"{100 * one[end]:.1f}%".replace("-", MINUS) for end in ("low", "high"))
    return f"{100 * one['value']:.1f}% <span class='range'>[{low}, {high}]</span>".replace("-", MINUS)


def _judged(one: Mapping[str, Any] | None) -> str:
    said, style = {1: ("better", "good"), -1: ("worse", "bad"), 0: ("no clear difference", "even")}[sign_of(one)]
    return f"<span class='badge {style}'>{said}</span>"


def _count(rows: int | None) -> str:
    return figure(None) if rows is None else f"{rows:,}"


def _tables(name: str, task: Mapping[str, Any]) -> str:
    """The metrics on the rows of each table, where there are several."""
    tables = task.get("tables") or {}
    if not tables:
        return ""
    headings = [("table", ""), *((metric_name(metric), "number") for metric in task["metrics"])]
    rows = [[words(one), *(figure(scores[m]) for m in task["metrics"])] for one, scores in tables.items()]
    return f"<h3>By table</h3>{table(headings, rows, label=f'{name}: metrics by table')}"


def _charts(name: str, task: Mapping[str, Any], details: Details) -> str:
    pictures = []
    if details.confusion:
        pictures.append(("True and answered", heat_map(details.confusion, title=f"{name}: confusion matrix")))
    if details.labels:
        pictures.append(
            ("F1 of each label (rows that have it)", label_bars(details.labels, title=f"{name}: F1 by label"))
        )
    if details.scatter:
        pictures.append(("Answer and truth", scatter_chart(details.scatter, title=f"{name}: answers against truth")))
    found = trust_charts(name, task)
    if details.reliability and not (task.get("calibration") or {}).get("bins"):
        chart = reliability_chart(details.reliability, title=f"{name}: share right by stated probability")
        pictures.append(("Does it mean its probabilities?", chart))
    cards = [f"<div class='card'><h3>{escape(said)}</h3>{drawn}</div>" for said, drawn in [*pictures, *found]]
    return f"<div class='charts'>{''.join(cards)}</div>" if cards else ""
