"""What tasks gain by being learned together: the joint models beside one model for each task."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from motet.artifact import write_file
from motet.evaluation import plain
from motet.run.evaluate import report_again
from motet.study.compare.candidate import Candidate, Read
from motet.study.compare.grid import SINGLE
from motet.study.compare.rank import Ranked


def transfer(ranked: Ranked, costs: Mapping[str, Mapping[str, Any]], *, reference: str) -> dict[str, Any] | None:
    """By task and joint candidate the difference to the single model, positive where learning together helps."""
    if SINGLE not in ranked.candidates:
        return None
    joint = [one for one in ranked.candidates if one != SINGLE]
    return {
        "single_of": reference,
        "tasks": {task: {one: asdict(ranked.difference(task, one, SINGLE)) for one in joint} for task in ranked.tasks},
        "overall": {one: asdict(ranked.overall_difference(one, SINGLE)) for one in joint},
        "parameters": {one: costs[one]["parameters"] for one in ranked.candidates},
    }


def write_single_task(read: Read, ranked: Ranked, seeds: Sequence[int], candidates: Sequence[Candidate]) -> None:
    """`tasks.T.single_task` of each joint run's report: the single model of the same seed, and the paired difference.

    What is there already is left, so that a page is drawn again only where something is new.
    """
    singles = read.runs.get(SINGLE, {})
    for candidate in candidates:
        if candidate.name == SINGLE:
            continue
        for seed, runs in read.runs.get(candidate.name, {}).items():
            beside = {task: one for one in singles.get(seed, ()) for task in one.report["tasks"]}
            found = {
                task: {
                    "metrics": one.report["tasks"][task]["metrics"],
                    "difference": asdict(ranked.difference_of_seed(task, seeds.index(seed), candidate.name, SINGLE)),
                    "rows": one.report["tasks"][task]["rows"],
                    "run": os.path.relpath(one.folder, runs[0].folder),
                }
                for task, one in beside.items()
                if task in ranked.tasks
            }
            for run in runs:
                _fill(run.folder / "report.json", dict(run.report), plain(found))


def _fill(path: Any, report: dict[str, Any], found: Mapping[str, Any]) -> None:
    tasks = {task: entry | {"single_task": found.get(task)} for task, entry in report["tasks"].items()}
    if tasks == report["tasks"]:
        return
    write_file(path, (json.dumps(report | {"tasks": tasks}, indent=1, ensure_ascii=False) + "\n").encode())
    report_again(path.parent)
