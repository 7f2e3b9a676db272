"""A comparison as a page: the answer first in words, then rankings, differences as dots with intervals, and costs."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from motet.evaluation.figure import metric_name, percent
from motet.evaluation.page import page
from motet.evaluation.render_task import anchor
from motet.evaluation.svg import WIDTH, box, clipped, label, padded, picture, short, ticks
from motet.study.compare.seeds import chance, some_of_one
from motet.study.compare.text import COSTS, TRANSFER, missing, overall_rows, task_rows, transfer_rows
from motet.study.compare.words import better, said


def html(content: Mapping[str, Any], *, title: str) -> str:
    """The whole page, one file."""
    body = [
        f"<header><h1>{escape(title)}</h1><p class='lead'>{escape(content['summary'][0])}</p></header>",
        _sentences(content["summary"][1:]),
        _overall(content),
        *(_task(task, entry, content) for task, entry in content["tasks"].items()),
        _transfer(content),
        _missing(content),
        f"<footer>{_footer(content)}</footer>",
    ]
    return page(title, "".join(body), sections=[("overall", "Overall"), *_tasks(content), *_rest(content)])


def _tasks(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(anchor(task), task) for task in content["tasks"]]


def _rest(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [("transfer", "Together or one by one", _transfer(content)), ("missing", "Missing", _missing(content))]
    return [(place, name) for place, name, drawn in found if drawn]


def _sentences(sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(one)}</li>" for one in sentences)
    return f"<section id='summary'><div class='card'><ul>{items}</ul></div></section>" if items else ""


def _overall(content: Mapping[str, Any]) -> str:
    head = ["candidate", "mean relative gain", "mean rank", "to the best", *COSTS]
    left_out = sorted(set(content["tasks"]) - set(content["overall"]["tasks"]))
    but = f" Without {escape(', '.join(left_out))}, which has no trivial score." if left_out else ""
    hint = (
        "The relative gain of a task is how much of the way from a constant answer to a perfect score a model has "
        f"come; the mean is over the tasks.{but} The mean rank is over tasks and seeds; 1 is best."
    )
    return (
        f"<section id='overall'><h2>Overall</h2><p class='hint'>{hint}</p>"
        f"<div class='card scroll'>{_table(head, overall_rows(content))}</div></section>"
    )


def _task(task: str, entry: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    name = metric_name(entry["metric"])
    way = "higher" if entry["higher_is_better"] else "lower"
    rows = [(one["candidate"], one["score"]) for one in entry["ranking"]]
    to = [(one["candidate"], one["to_reference"]) for one in entry["ranking"] if one["to_reference"] is not None]
    scores = dots(rows, title=f"{task}: {name} of each candidate", line=entry["baseline"], note="constant answer")
    differences = dots(to, title=f"{task}: how much better than {content['reference']}", line=0.0, note="")
    table = _table(
        ["candidate", name, "to the best", "to the reference", "seeds"], task_rows(entry, mark=some_of_one(content))
    )
    return (
        f"<section id='{anchor(task)}'><h2>{escape(task)}<span class='kind'>{escape(name)}, {way} is better</span></h2>"
        f"<div class='charts'><div class='card'><h3>{escape(name)}</h3>{scores}</div>"
        f"<div class='card'><h3>Better than {escape(content['reference'])} by</h3>{differences}</div></div>"
        f"<div class='card scroll'>{table}</div></section>"
    )


def _transfer(content: Mapping[str, Any]) -> str:
    found = content.get("transfer")
    if not found:
        return ""
    marks = [
        [0, *(better(one[c]) for one in found["tasks"].values()), better(found["overall"][c]), 0]
        for c in found["overall"]
    ]
    marks.append([0] * (len(found["tasks"]) + 3))
    hint = (
        "Each joint model minus the single model of the task, positive where learning together helps. The single "
        f"models have all else in common with {found['single_of']}; their parameters are added up."
    )
    table = _table(
        ["candidate", *found["tasks"], *TRANSFER], transfer_rows(found, mark=some_of_one(content)), marks=marks
    )
    return (
        f"<section id='transfer'><h2>Together or one by one</h2><p class='hint'>{escape(hint)}</p>"
        f"<div class='card scroll'>{table}</div></section>"
    )


def _missing(content: Mapping[str, Any]) -> str:
    lines = [*missing(content), *content["declined"]]
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<section id='missing'><h2>What is missing</h2><div class='card'><ul>{items}</ul></div></section>"


def _footer(content: Mapping[str, Any]) -> str:
    return escape(
        f"Brackets hold the {percent(content['level'])} interval: the chance of {chance(content)}. Differences are "
        f"paired: the same {content['rows_scored']} rows and the same seeds; positive is better. Milliseconds are "
        "the median of a step, memory is the most that a run's process held, seconds are those of one training, "
        "runs side by side."
    )


def dots(rows: Sequence[tuple[str, Mapping[str, float | None]]], *, title: str, line: float | None, note: str) -> str:
    """A dot and its interval for each candidate, on one axis; a dashed line stands for what they are compared with."""
    known = [(name, one) for name, one in rows if one["value"] is not None]
    if not known:
        return ""
    found = [value for _, one in known for value in (one["low"], one["value"], one["high"]) if value is not None]
    spread = max(found) - min(found)
    near = line is not None and min(found) - 2 * spread <= line <= max(found) + 2 * spread
    low, high = padded([*found, *([line] if near and line is not None else [])])
    left, right, bottom = 128, WIDTH - 12, 14 + 28 * len(known)

    def at(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    parts = []
    for value in ticks(low, high, about=4):
        parts.append(f'<line class="grid" x1="{at(value):.1f}" x2="{at(value):.1f}" y1="4" y2="{bottom}"/>')
        parts.append(label(at(value), bottom + 15, short(value), style="tick", anchor="middle"))
    if near and line is not None:
        parts.append(f'<line class="level" x1="{at(line):.1f}" x2="{at(line):.1f}" y1="4" y2="{bottom}"/>')
        parts.append(label(at(line), bottom + 29, note, style="tick", anchor="middle"))
    for place, (name, one) in enumerate(known):
        down, tip = 20 + 28 * place, f"{name}: {said(one)}"
        parts.append(label(left - 10, down + 4, clipped(name, 17), style="name", anchor="end"))
        if one["low"] is not None and one["high"] is not None:
            parts.append(box(at(one["low"]), down - 1, at(one["high"]) - at(one["low"]), 2, style="whisker", tip=tip))
        across = at(one["value"] or 0.0)
        parts.append(f'<circle class="point" cx="{across:.1f}" cy="{down}" r="5"><title>{escape(tip)}</title></circle>')
    return picture("".join(parts), title=title, height=bottom + 36)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, marks: Sequence[Sequence[int]] | None = None) -> str:
    top = "".join(f"<th scope='col'{_number(at)}>{escape(word)}</th>" for at, word in enumerate(head))
    lines = []
    for place, row in enumerate(rows):
        signs = marks[place] if marks else [0] * len(row)
        cells = "".join(
            f"<td class='number{' best' * (sign > 0)}'>{escape(word)}</td>"
            for word, sign in list(zip(row, signs, strict=True))[1:]
        )
        lines.append(f"<tr><th scope='row'>{escape(row[0])}</th>{cells}</tr>")
    return f"<table class='sortable'><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _number(at: int) -> str:
    return " class='number'" if at else ""
