"""The report's part about one task: its verdict, its figures beside the baseline, where it errs."""

import re
from collections.abc import Mapping
from html import escape
from typing import Any

from motet.evaluation.charts import heat_map, interval_mark, label_bars, reliability_chart, scatter_chart
from motet.evaluation.details import Details, Mistake, Shown
from motet.evaluation.figure import figure, interval, metric_name, percent
from motet.evaluation.svg import clipped

PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+")
SOUND = re.compile(r"data:audio/(wav|mpeg|ogg|flac);base64,[A-Za-z0-9+/=]+")
MOST_TEXT = 280
VERDICTS = {
    "good": "beats the baseline",
    "even": "no clear gain",
    "bad": "below the baseline",
    "none": "",
}


def verdict(task: Mapping[str, Any]) -> str:
    """good, even or bad: the primary metric's interval beside the baseline; none where one of them does not exist."""
    score, base = task["metrics"][task["primary"]], task["baseline"][task["primary"]]
    if base is None or score["value"] is None or score["low"] is None or score["high"] is None:
        return "none"
    sign = 1 if score["higher_is_better"] else -1
    worst, best = sorted((sign * score["low"], sign * score["high"]))
    return "good" if worst > sign * base else "bad" if best < sign * base else "even"


def sentence(name: str, task: Mapping[str, Any]) -> str:
    """The task in one line of plain text."""
    score, base = task["metrics"][task["primary"]], task["baseline"][task["primary"]]
    words = f"{name}: {metric_name(task['primary'])} {figure(score['value'])} {interval(score['low'], score['high'])}"
    return f"{words.strip()}, baseline {figure(base)}"


def task_card(name: str, task: Mapping[str, Any]) -> str:
    """The task at a glance, leading to its section."""
    score, base = task["metrics"][task["primary"]], task["baseline"][task["primary"]]
    return (
        f"<a class='card' href='#{_anchor(name)}' aria-label='{escape(sentence(name, task))}'>"
        f"<h3>{escape(name)}<span class='kind'>{escape(task['kind'])}, {task['rows']:,} rows</span></h3>"
        f"<div><span class='big'>{figure(score['value'])}</span> "
        f"<span class='unit'>{metric_name(task['primary'])} {interval(score['low'], score['high'])}</span></div>"
        f"{interval_mark(score, base, title=sentence(name, task))}"
        f"<p class='verdict'>{_badge(task)} <span class='unit'>baseline {figure(base)}</span></p></a>"
    )


def task_section(name: str, task: Mapping[str, Any], details: Details) -> str:
    """Everything about the task."""
    rows = "".join(_metric_row(metric, task) for metric in task["metrics"])
    head = (
        "<tr><th scope='col'>metric</th><th scope='col' class='number'>value</th><th scope='col'>interval</th>"
        "<th scope='col' class='number'>baseline</th><th scope='col'></th></tr>"
    )
    return (
        f"<section id='{_anchor(name)}'><h2>{escape(name)}<span class='kind'>{escape(task['kind'])}</span></h2>"
        f"<p>{escape(sentence(name, task))}. {_badge(task)}</p>"
        f"<div class='card scroll'><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>"
        f"{_tables(task)}<div class='charts'>{_charts(name, details)}</div>{_mistakes(details)}</section>"
    )


def _badge(task: Mapping[str, Any]) -> str:
    found = verdict(task)
    return f"<span class='badge {found}'>{VERDICTS[found]}</span>" if VERDICTS[found] else ""


def _metric_row(metric: str, task: Mapping[str, Any]) -> str:
    score, base = task["metrics"][metric], task["baseline"][metric]
    arrow = "" if score["higher_is_better"] else " <span class='kind'>lower is better</span>"
    mark = interval_mark(score, base, title=f"{metric_name(metric)} {figure(score['value'])}, baseline {figure(base)}")
    return (
        f"<tr{' class=primary' * (metric == task['primary'])}><th scope='row'>{escape(metric_name(metric))}{arrow}</th>"
        f"<td class='number'>{figure(score['value'])}</td><td>{interval(score['low'], score['high'])}</td>"
        f"<td class='number'>{figure(base)}</td><td class='mark'>{mark}</td></tr>"
    )


def _tables(task: Mapping[str, Any]) -> str:
    """The metrics on the rows of each table, where there are several."""
    tables = task.get("tables") or {}
    if not tables:
        return ""
    head = "".join(f"<th scope='col' class='number'>{escape(metric_name(metric))}</th>" for metric in task["metrics"])
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th>"
        + "".join(f"<td class='number'>{figure(scores[metric])}</td>" for metric in task["metrics"])
        + "</tr>"
        for name, scores in tables.items()
    )
    return (
        "<h3>By table</h3><div class='card scroll'><table>"
        f"<thead><tr><th scope='col'>table</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _charts(name: str, details: Details) -> str:
    pictures = []
    if details.confusion:
        pictures.append(("True and answered", heat_map(details.confusion, title=f"{name}: confusion matrix")))
    if details.labels:
        pictures.append(
            ("F1 of each label (rows that have it)", label_bars(details.labels, title=f"{name}: F1 by label"))
        )
    if details.scatter:
        pictures.append(("Answer and truth", scatter_chart(details.scatter, title=f"{name}: answers against truth")))
    if details.reliability:
        chart = reliability_chart(details.reliability, title=f"{name}: share right by stated probability")
        pictures.append(("Does it mean its probabilities?", chart))
    return "".join(f"<div class='card'><h3>{words}</h3>{drawn}</div>" for words, drawn in pictures)


def _mistakes(details: Details) -> str:
    if not details.mistakes:
        return ""
    cards = "".join(_mistake(one) for one in details.mistakes)
    return f"<h3>Furthest from the truth</h3><div class='gallery'>{cards}</div>"


def _mistake(mistake: Mistake) -> str:
    sure = "" if mistake.probability is None else f" <span class='row'>{percent(mistake.probability)} sure</span>"
    return (
        f"<div class='card'>{''.join(_shown(cell) for cell in mistake.cells)}"
        f"<div class='answer'>answered <b>{escape(mistake.answer)}</b>{sure}</div>"
        f"<div class='truth'>true <b>{escape(mistake.truth)}</b></div>"
        f"<div class='row'>{escape(mistake.row)}</div></div>"
    )


def _shown(cell: Shown) -> str:
    name = escape(cell.input)
    if cell.kind == "text":
        return f"<blockquote><b>{name}</b> {escape(clipped(cell.content, MOST_TEXT))}</blockquote>"
    if cell.kind == "picture" and PICTURE.fullmatch(cell.content):
        return f"<img src='{cell.content}' alt='{name}'>"
    if cell.kind == "sound" and SOUND.fullmatch(cell.content):
        return f"<audio controls preload='none' src='{cell.content}' aria-label='{name}'></audio>"
    return ""


def _anchor(name: str) -> str:
    return "task-" + re.sub(r"[^A-Za-z0-9_-]", lambda match: f".{ord(match[0]):x}", name)
