"""`report.html`: one file that needs no network, drawn from `report.json`, the log and what each task has to show.

Everything from the user's table is escaped, pictures and sounds are data URIs of known types, and a content policy
allows no script but the frame's and no request, so that a table can not put anything into the page but what is seen.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from motet.evaluation.details import Details
from motet.evaluation.page import page
from motet.evaluation.render_card import model_card
from motet.evaluation.render_inputs import inputs_section
from motet.evaluation.render_relations import relations_section
from motet.evaluation.render_task import anchor, task_card, task_section
from motet.evaluation.render_training import training_section
from motet.evaluation.words import summary

Section = tuple[str, str, str]
"""Its id, its name in the navigation, its HTML."""


def render_html(
    report: Mapping[str, Any],
    curves: Sequence[Mapping[str, Any]],
    details: Mapping[str, Details],
    *,
    title: str = "motet",
) -> str:
    """The page for a report (`build_report`), the lines of `log.jsonl`, and the details of tasks by name."""
    tasks = report["tasks"]
    sections: list[Section] = [
        ("summary", "Summary", _summary(report, title)),
        *((anchor(name), name, task_section(name, task, details.get(name, Details()))) for name, task in tasks.items()),
        ("inputs", "Inputs", inputs_section(report)),
        ("relations", "Relations", relations_section(report, curves)),
        ("training", "Training", training_section(report, curves)),
        ("model-card", "Model card", model_card(report)),
    ]
    drawn = [section for section in sections if section[2]]
    body = "".join(html for _, _, html in drawn)
    return page(title, body + _footer(report), sections=[(place, name) for place, name, _ in drawn])


def _summary(report: Mapping[str, Any], title: str) -> str:
    said = "".join(f"<li class='{tone}'>{_unbroken(escape(words))}</li>" for tone, words in summary(report))
    cards = "".join(task_card(name, task) for name, task in report["tasks"].items())
    return (
        f"<section id='summary' aria-label='Summary'><h1>{escape(title)}</h1><p class='lead'>{_lead(report)}</p>"
        f"<ul class='says'>{said}</ul><div id='scores' class='grid'>{cards}</div></section>"
    )


def _unbroken(sentence: str) -> str:
    """Without a line break within an interval."""
    return re.sub(r"\[\S+, \S+\]", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), sentence)


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


def _footer(report: Mapping[str, Any]) -> str:
    linear = any(task.get("baselines") for task in report["tasks"].values())
    others = " The linear baseline and that of trees see simple features of the same inputs." if linear else ""
    return (
        f"<footer>Brackets hold the {_level(report)}interval of a bootstrap over the scored rows, or over whole groups "
        "of them; nothing stands there where one row or group is all there is. "
        f"The trivial baseline gives every row the same answer, the best one for the training labels.{others}</footer>"
    )


def _level(report: Mapping[str, Any]) -> str:
    level = (report.get("intervals") or {}).get("level")
    return "" if level is None else f"{100 * level:g}% "
