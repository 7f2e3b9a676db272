"""The report's part about the inputs: what each contributes to each task, alone, shuffled, and as it gets worse."""

from collections.abc import Mapping
from html import escape
from typing import Any

from motet.evaluation.charts import contribution_bars
from motet.evaluation.figure import figure, metric_name, percent
from motet.evaluation.render_robustness import robustness
from motet.evaluation.render_subsets import on_rows, subsets
from motet.evaluation.table import heat_table, measured, table, words

METHODS = {
    "shapley": "its gain in the task's first metric, averaged over all orders in which the inputs could join "
    "(Shapley value); the gains of a task add up to what all inputs bring together.",
    "sampled": "its gain in the task's first metric, averaged over a sample of the orders in which the inputs could "
    "join (sampled Shapley value).",
}


def inputs_section(report: Mapping[str, Any]) -> str:
    """Everything about the inputs."""
    return (
        "<section id='inputs' aria-labelledby='inputs-name'><h2 id='inputs-name'>What each input contributes</h2>"
        f"{_meaning(report)}{_charts(report)}{_matrix(report)}{_alone(report)}{_permuted(report)}{_synergy(report)}"
        f"{_present(report)}{robustness(report)}{subsets(report)}</section>"
    )


def _meaning(report: Mapping[str, Any]) -> str:
    methods = {one.get("method") for one in report["inputs"].values()} - {None}
    return "".join(
        f"<p class='hint'>The contribution of an input is {METHODS[method]} {on_rows(report)}</p>"
        for method in sorted(methods & set(METHODS))
    )


def _charts(report: Mapping[str, Any]) -> str:
    """Bars with their intervals, a chart for each task."""
    charts = []
    for task, result in report["tasks"].items():
        parts = by_input(report, "contribution", task)
        drawn = contribution_bars(parts, title=f"{task}: contribution of each input")
        if drawn:
            name = escape(metric_name(result["primary"]))
            charts.append(f"<div class='card'><h3>{escape(task)}<span class='kind'>{name}</span></h3>{drawn}</div>")
    return f"<div class='charts'>{''.join(charts)}</div>" if charts else ""


def by_input(report: Mapping[str, Any], found: str, task: str) -> dict[str, Any]:
    """What was `found` of a task, by input."""
    parts = {name: (one.get(found) or {}).get(task) for name, one in report["inputs"].items()}
    return {name: part for name, part in parts.items() if part}


def _by_input_and_task(report: Mapping[str, Any], found: str) -> dict[str, dict[str, Any]]:
    rows = {name: dict(one.get(found) or {}) for name, one in report["inputs"].items()}
    return {name: row for name, row in rows.items() if row}


def _matrix(report: Mapping[str, Any]) -> str:
    values = _by_input_and_task(report, "contribution")
    if len(values) < 2 or len(report["tasks"]) < 2:
        return ""
    drawn = heat_table(
        values,
        columns=list(report["tasks"]),
        label="Contribution of inputs to tasks",
        corner="input",
        notes=_notes(report),
    )
    return (
        "<h3>Inputs by tasks</h3><p class='hint'>The same contributions side by side, each column shaded by its own "
        f"largest; below zero in the other colour.</p>{drawn}"
    )


def _alone(report: Mapping[str, Any]) -> str:
    values = _by_input_and_task(report, "alone")
    if not values:
        return ""
    tasks = [task for task in report["tasks"] if any(task in row for row in values.values())]
    headings = [("only this input", ""), *((f"{task} {_notes(report)[task]}", "number") for task in tasks)]
    rows = [[words(name), *(measured(row.get(task)) for task in tasks)] for name, row in values.items()]
    all_of_them = [measured(_whole(report, task)) for task in tasks]
    return (
        "<h3>Each input alone</h3><p class='hint'>The same model, every other input taken away; the last row has all."
        f"</p>{table(headings, [*rows, ['<i>all inputs</i>', *all_of_them]], label='Each input alone')}"
    )


def _whole(report: Mapping[str, Any], task: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = report["tasks"][task]["metrics"][report["tasks"][task]["primary"]]
    return found


def _permuted(report: Mapping[str, Any]) -> str:
    values = _by_input_and_task(report, "permuted")
    if not values:
        return ""
    drawn = heat_table(
        values,
        columns=list(report["tasks"]),
        label="What is lost when an input is shuffled",
        corner="input",
        notes=_notes(report),
    )
    return (
        "<h3>Each input shuffled</h3><p class='hint'>What the task's first metric loses when the cells of this input "
        f"are given to other rows: above zero the input mattered.</p>{drawn}"
    )


def _notes(report: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"({metric_name(task['primary'])})" for name, task in report["tasks"].items()}


def _synergy(report: Mapping[str, Any]) -> str:
    """What combinations of inputs bring beyond their sum."""
    found = {name: task["synergy"] for name, task in report["tasks"].items() if task.get("synergy")}
    rows = [
        [words(name), figure(one.get("full")), figure(one.get("additive")), measured(one), f"{one.get('rows') or 0:,}"]
        for name, one in found.items()
    ]
    if not rows:
        return ""
    headings = [("task", ""), ("the model", "number"), ("its sum of parts", "number"), ("synergy", "number")]
    headings.append(("rows", "number"))
    return (
        "<h3>Do the inputs work together?</h3><p class='hint'>The model beside its additive projection, in which every "
        "input speaks for itself (EMAP, Hessel and Lee, EMNLP 2020). Above zero the model uses combinations of inputs."
        f"</p>{table(headings, rows, label='Synergy of the inputs')}"
    )


def _present(report: Mapping[str, Any]) -> str:
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{percent(one['present_fraction'])}</dd></div>"
        for name, one in report["inputs"].items()
        if one.get("present_fraction") is not None
    )
    return (
        f"<h3>In how many rows each is present</h3><div class='card'><dl class='facts'>{facts}</dl></div>"
        if facts
        else ""
    )
