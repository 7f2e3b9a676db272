"""What is compared: for each candidate and seed the finished runs that answer its tasks, read from their folders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from motet.artifact import read_bundle
from motet.core.errors import BundleError
from motet.run.outputs import Outputs, read_outputs
from motet.run.report import Report
from motet.study.compare.meaning import Labels, labels_by_task, other_labels
from motet.tasks.base import Metric
from motet.tasks.row import RowTask


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to answer the tasks: by seed, the runs that do it together, one of all tasks or one for each.

    `models` is how many runs a seed has when all are finished; `single`: these are one model per task, made to be
    compared with the joint ones.
    """

    name: str
    runs: Mapping[int, tuple[Path, ...]]
    models: int = 1
    single: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished run as it is compared: its report, its outputs, and by what labels these are judged."""

    folder: Path
    report: Mapping[str, Any]
    outputs: Outputs
    labels: Mapping[str, Labels]

    def metric(self, task: str) -> Metric:
        """The task's primary metric."""
        name = self.report["tasks"][task]["primary"]
        return next(one for one in self.labels[task].codec.metrics() if one.name == name)


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
    """Read a finished run; raises `BundleError` where anything is missing, damaged, or of another run."""
    report, outputs = Report.of_run(folder).content, read_outputs(folder)
    bundle = read_bundle(folder / "bundle")
    try:
        run = Finished(folder, report, outputs, labels_by_task(bundle.model, bundle.codecs))
    except Exception as error:  # whatever a stranger's values make a library raise: it is the bundle that is wrong
        raise BundleError(f"{folder / 'bundle'}: its tasks can not be read: {_line(error)}") from None
    if mistake := _mistake(run):
        raise BundleError(f"{folder}: its files do not belong together: {mistake}")
    return run


def _mistake(run: Finished) -> str | None:
    """How report, bundle and outputs do not fit together."""
    report, outputs = run.report, run.outputs
    if outputs.part != report["rows_scored"]:
        return f"the outputs are of the {outputs.part} rows, the report of the {report['rows_scored']} rows"
    for task in sorted({*report["tasks"], *outputs.tasks, *outputs.too_large}):
        if task not in report["tasks"] or task not in run.labels:
            return f"{task} is not a task of {'the bundle' if task in report['tasks'] else 'the report'}"
        if reason := _task_mistake(run, task):
            return f"{task}: {reason}"
    return None


def _task_mistake(run: Finished, task: str) -> str | None:
    entry, labels = run.report["tasks"][task], run.labels[task]
    if entry["kind"] != labels.spec.kind or entry["primary"] not in {one.name for one in labels.codec.metrics()}:
        return f"the report has {entry['primary']} of {entry['kind']}, the bundle {labels.spec.kind}"
    if (said := run.outputs.tasks.get(task)) is None:
        return None
    if int(said.labelled.sum()) != entry["rows"]:
        return f"{int(said.labelled.sum()):,} rows have a label in the outputs, {entry['rows']:,} in the report"
    output, target = said.output[said.labelled], said.target[said.labelled]
    try:
        fits = labels.codec.certain(target).shape == output.shape if isinstance(labels.spec, RowTask) else True
        run.metric(task).compute(output, target)
    except Exception as error:  # as above: of the wrong shape, or numbers of labels there are not
        return f"its outputs can not be scored: {_line(error)}"
    return None if fits else f"an output has the shape {tuple(output.shape[1:])}, which is not that of an answer"


def _line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line), type(error).__name__)


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
    ours, theirs = first.outputs.tasks[task], other.outputs.tasks[task]
    if not torch.equal(ours.labelled, theirs.labelled):
        return f"{task} has labels in other rows than in {first.folder}"
    targets = ours.target[ours.labelled], theirs.target[theirs.labelled]
    if reason := other_labels(first.labels[task], other.labels[task], targets, metric=a["primary"]):
        return f"{task} has other labels than in {first.folder}: {reason}"
    return None
