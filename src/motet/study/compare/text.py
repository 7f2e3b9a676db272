"""A comparison as text: sentences first, then a table overall, one per task, costs, and what is missing."""

from collections.abc import Mapping, Sequence
from typing import Any

from motet.evaluation.figure import figure, metric_name
from motet.study.compare.seeds import ONE_SEED, of_one, some_of_one
from motet.study.compare.words import said

TRANSFER = ("mean relative gain", "parameters")
COSTS = ("parameters", "ms per step", "peak memory", "seconds")


def text(content: Mapping[str, Any]) -> str:
    """Everything a person wants to know at once."""
    mark = some_of_one(content)
    parts = ["\n".join(content["summary"])]
    parts.append(_table(["overall", "mean relative gain", "mean rank", "to the best", *COSTS], overall_rows(content)))
    for task, entry in content["tasks"].items():
        head = [task, metric_name(entry["metric"]), "to the best", "to the reference", "seeds"]
        parts.append(_table(head, task_rows(entry, mark=mark)))
    if content.get("transfer"):
        parts.append(
            _table(["joint minus single", *content["tasks"], *TRANSFER], transfer_rows(content["transfer"], mark=mark))
        )
    if mark:
        parts.append(f"{ONE_SEED.strip()} of one seed: the interval holds the chance of the rows alone")
    parts += ["\n".join(f"missing: {line}" for line in missing(content)), "\n".join(content["declined"])]
    return "\n\n".join(part for part in parts if part)


def overall_rows(content: Mapping[str, Any]) -> list[list[str]]:
    """For each candidate its gain, rank, difference to the best and costs, in words; what is of one seed is marked."""
    costs, mark = content["costs"], some_of_one(content)
    return [
        [
            c,
            said(one["gain"]) + of_one(one["seeds"], mark=mark),
            said(one["rank"]),
            _to(one, "best", mark=mark),
            *costs_words(costs[c]),
        ]
        for one in content["overall"]["ranking"]
        for c in (one["candidate"],)
    ]


def task_rows(entry: Mapping[str, Any], *, mark: bool = False) -> list[list[str]]:
    """For each candidate its score, and its differences to the best and to the reference, in words.

    `mark` says that what is of one seed is marked, as others are of more.
    """
    return [
        [
            one["candidate"],
            said(one["score"]) + of_one(one["seeds"], mark=mark),
            _to(one, "best", mark=mark),
            _to(one, "reference", mark=mark),
            str(one["seeds"]),
        ]
        for one in entry["ranking"]
    ]


def transfer_rows(found: Mapping[str, Any], *, mark: bool = False) -> list[list[str]]:
    """For each joint candidate its difference to the single models by task and overall, and parameters, in words."""
    rows = [
        [
            c,
            *(said(one[c]) + of_one(_seeds(found, task, c), mark=mark) for task, one in found["tasks"].items()),
            said(found["overall"][c]) + of_one(_seeds(found, "", c), mark=mark),
            _count(found["parameters"][c]),
        ]
        for c in found["overall"]
    ]
    blank = figure(None)
    return [*rows, ["single", *(blank for _ in found["tasks"]), blank, _count(found["parameters"]["single"])]]


def costs_words(costs: Mapping[str, Any]) -> list[str]:
    """Parameters, milliseconds, megabytes and seconds, in words.

    >>> costs_words({"parameters": 1200, "ms_per_step": 3.25, "peak_memory": 3 << 20, "seconds": None})
    ['1,200', '3.2', '3 MB', '–']
    """
    dash, (parameters, step, memory, seconds) = figure(None), (costs[name] for name in _NAMES)
    return [
        _count(parameters),
        dash if step is None else f"{step:.1f}",
        dash if memory is None else f"{memory / (1 << 20):,.0f} MB",
        dash if seconds is None else f"{seconds:,.0f}",
    ]


def missing(content: Mapping[str, Any]) -> list[str]:
    """The runs that are not finished, and why."""
    return [
        f"{run['variant']}, seed {run['seed']}: {run['state']}" + (f": {run['reason']}" if run["reason"] else "")
        for run in content.get("runs", ())
        if run["state"] != "finished"
    ]


_NAMES = ("parameters", "ms_per_step", "peak_memory", "seconds")


def _count(number: float | None) -> str:
    return figure(None) if number is None else f"{number:,.0f}"


def _to(one: Mapping[str, Any], own: str, *, mark: bool) -> str:
    difference = one[f"to_{own}"]
    seeds = one.get("common_seeds", {}).get(f"to_{own}")
    return own if difference is None else said(difference) + of_one(seeds, mark=mark)


def _seeds(found: Mapping[str, Any], task: str, candidate: str) -> int | None:
    seeds: int | None = found.get("seeds", {}).get(task, {}).get(candidate)
    return seeds


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(head), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
