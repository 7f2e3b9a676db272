"""What is compared: for each candidate and seed the finished runs that answer its tasks, read from their folders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from motet.artifact import read_bundle
from motet.core.errors import BundleError
from motet.run.outputs import Outputs, read_outputs
from motet.run.report import Report
from motet.tasks import AnyTask
from motet.tasks.base import Codec, Metric


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to answer the tasks: by seed, the runs that do it together, one of all tasks or one for each.

    `models` is how many runs a seed has when all are finished.
    """

    name: str
    runs: Mapping[int, tuple[Path, ...]]
    models: int = 1


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished run as it is compared: its report, its outputs, and the codecs that judge these."""

    folder: Path
    report: Mapping[str, Any]
    outputs: Outputs
    codecs: Mapping[str, Codec]

    def metric(self, task: str) -> Metric:
        """The task's primary metric."""
        name = self.report["tasks"][task]["primary"]
        return next(one for one in self.codecs[task].metrics() if one.name == name)


@dataclass(slots=True)
class Read:
    """Runs by candidate and seed, all scored on the rows of `first`; `declined` says in words what was left out."""

    runs: dict[str, dict[int, tuple[Finished, ...]]] = field(default_factory=dict)
    declined: list[str] = field(default_factory=list)
    first: Finished | None = None

    def answering(self, task: str) -> dict[str, dict[int, Finished]]:
        """By candidate and seed the run that answers the task."""
        found = {
            name: {seed: one for seed, runs in seeds.items() for one in runs if task in one.outputs.tasks}
            for name, seeds in self.runs.items()
        }
        return {name: seeds for name, seeds in found.items() if seeds}


def finished_run(folder: Path) -> Finished:
    """Read a finished run; raises `BundleError` where anything is missing or damaged."""
    report = Report.of_run(folder).content
    bundle = read_bundle(folder / "bundle")
    specs = TypeAdapter(dict[str, AnyTask]).validate_python(bundle.model["tasks"])
    codecs = {task: spec.restore(dict(bundle.codecs[task])) for task, spec in specs.items()}
    return Finished(folder, report, read_outputs(folder), codecs)


def read_candidates(candidates: Sequence[Candidate]) -> Read:
    """Read every run; one that was scored on other rows than the first, or can not be read, is declined."""
    found = Read()
    for candidate in candidates:
        for seed, folders in candidate.runs.items():
            runs = []
            for folder in folders:
                try:
                    run = finished_run(folder)
                except BundleError as error:
                    found.declined.append(f"{candidate.name}: {error}")
                    continue
                found.first = found.first or run
                if (reason := differs(found.first, run)) is not None:
                    found.declined.append(f"{candidate.name} ({folder}): {reason}")
                    continue
                runs.append(run)
            if runs:
                found.runs.setdefault(candidate.name, {})[seed] = tuple(runs)
    return found


def differs(first: Finished, other: Finished) -> str | None:
    """Why two runs can not be compared row by row; None where they can."""
    a, b = first.outputs, other.outputs
    if a.part != b.part:
        return f"scored on the {b.part} rows, {first.folder} on the {a.part} rows"
    if a.table != b.table:
        return f"its tables have other content than those of {first.folder}"
    if not torch.equal(a.rows, b.rows):
        return (
            f"scored on other rows than {first.folder}: a split by fractions is the same only for the same "
            "training.seed or data.split_seed"
        )
    return None


def task_differs(first: Finished, other: Finished, task: str) -> str | None:
    """Why the scores of a task can not be compared; None where they can."""
    a, b = first.report["tasks"][task], other.report["tasks"][task]
    if (a["kind"], a["primary"]) != (b["kind"], b["primary"]):
        return f"{task} is judged as {b['kind']} by {b['primary']}, in {first.folder} as {a['kind']} by {a['primary']}"
    if not torch.equal(first.outputs.tasks[task].labelled, other.outputs.tasks[task].labelled):
        return f"{task} has labels in other rows than in {first.folder}"
    return None
