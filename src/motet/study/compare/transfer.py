"""What tasks gain by being learned together: the joint models beside one model for each task."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from motet.artifact import write_file
from motet.core.errors import BundleError
from motet.evaluation import plain
from motet.run.evaluate import report_again
from motet.study.compare.candidate import Candidate, Read
from motet.study.compare.rank import Ranked
from motet.study.compare.scores import mean_gains
from motet.study.compare.seeds import common


def transfer(
    ranked: Ranked, costs: Mapping[str, Mapping[str, Any]], *, single: str | None, reference: str
) -> dict[str, Any] | None:
    """By task and joint candidate the difference to the `single` models, positive where learning together helps.

    None where there are no single models.
    """
    if single is None or single not in ranked.candidates:
        return None
    joint = [one for one in ranked.candidates if one != single]
    return {
        "single_of": reference,
        "tasks": {task: {one: asdict(ranked.difference(task, one, single)) for one in joint} for task in ranked.tasks},
        "overall": {one: asdict(ranked.overall_difference(one, single)) for one in joint},
        "seeds": _seeds(ranked, joint, single),
        "parameters": {one: costs[one]["parameters"] for one in ranked.candidates},
    }


def _seeds(ranked: Ranked, joint: Sequence[str], single: str) -> dict[str, dict[str, int]]:
    """How many seeds each difference is of, by task and, under an empty name, overall."""
    values = {task: scores.values for task, scores in ranked.tasks.items()} | {"": mean_gains(ranked.tasks)[1]}
    place = ranked.candidates.index
    return {task: {one: common(own, place(one), place(single)) for one in joint} for task, own in values.items()}


def write_single_task(read: Read, ranked: Ranked, seeds: Sequence[int], candidates: Sequence[Candidate]) -> list[str]:
    """`tasks.T.single_task` of each joint run's report: the single model of the same seed, and the paired difference.

    It writes into the runs, so it is for who made them. What is there already is left, so that a page is drawn again
    only where something is new; without single models nothing is written. Says which pages could not be drawn.
    """
    said: list[str] = []
    single = single_of(candidates)
    if single is None or single not in ranked.candidates:
        return said
    singles = read.runs.get(single, {})
    for candidate in candidates:
        if candidate.single:
            continue
        for seed, runs in read.runs.get(candidate.name, {}).items():
            beside = {task: one for one in singles.get(seed, ()) for task in one.report["tasks"]}
            found = {
                task: {
                    "metrics": one.report["tasks"][task]["metrics"],
                    "difference": asdict(ranked.difference_of_seed(task, seeds.index(seed), candidate.name, single)),
                    "rows": one.report["tasks"][task]["rows"],
                    "run": os.path.relpath(one.folder, runs[0].folder),
                }
                for task, one in beside.items()
                if task in ranked.tasks
            }
            for run in runs:
                try:
                    _fill(run.folder / "report.json", dict(run.report), plain(found))
                except BundleError as error:
                    said.append(f"{candidate.name}: its page was not drawn again: {error}")
    return said


def single_of(candidates: Sequence[Candidate]) -> str | None:
    """The name of the candidate that is one model per task."""
    return next((one.name for one in candidates if one.single), None)


def _fill(path: Any, report: dict[str, Any], found: Mapping[str, Any]) -> None:
    tasks = {task: entry | {"single_task": found.get(task)} for task, entry in report["tasks"].items()}
    if tasks == report["tasks"]:
        return
    write_file(path, (json.dumps(report | {"tasks": tasks}, indent=1, ensure_ascii=False) + "\n").encode())
    report_again(path.parent)
