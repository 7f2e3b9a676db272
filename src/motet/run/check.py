"""Everything that can be known to be wrong before a run starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motet.core.checks import text_of
from motet.data import verify
from motet.inputs.base import InputSpec
from motet.model.columns import labels_of
from motet.run.doubts import label_cells
from motet.run.prepare import Fitted, build, fit_columns
from motet.spec import Experiment
from motet.tasks.base import Codec, TaskSpec
from motet.training import Progress

SHOWN = 8


@dataclass(frozen=True)
class Checked:
    """Problems, each a line `file:row:column: reason`; warnings that do not stop a run; and what was looked at."""

    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    summary: str


def check_experiment(experiment: Experiment, *, base: Path, sample: int | None, progress: Progress) -> Checked:
    """Fit every column and read every cell, or those of `sample` rows spread evenly over the table.

    Raises `SpecError` and `DataError` for what is wrong as a whole: a column that is not there, a task without labels.
    """
    fitted = fit_columns(experiment, base=base)
    build(fitted)
    inputs, targets = fitted.columns
    rows = np.arange(fitted.table.num_rows, dtype=np.int64)
    if sample is not None and sample < len(rows):
        rows = np.unique(np.linspace(0, len(rows) - 1, sample).round().astype(np.int64))
    problems = verify(
        fitted.table,
        rows,
        inputs | targets,
        root=fitted.root,
        progress=lambda done, total: progress.stage("reading cells", done, total),
    )
    return Checked(tuple(str(problem) for problem in problems), fitted.warnings, _summary(fitted, len(rows)))


def _summary(fitted: Fitted, num_rows: int) -> str:
    """How many rows were read, and what was understood of each input and of each task's labels."""
    splits = {"train": fitted.splits.train, "valid": fitted.splits.valid, "test": fitted.splits.test}
    lines = [
        f"{num_rows:,} of {fitted.table.num_rows:,} rows read, no problem: "
        + ", ".join(f"{len(rows):,} {part}" for part, rows in splits.items())
    ]
    width = max(map(len, [*fitted.inputs, *fitted.tasks]))
    lines += [f"input  {name:<{width}}  {_kind(spec)}" for name, (spec, _) in fitted.inputs.items()]
    specs = {name: spec for name, (spec, _) in fitted.inputs.items()}
    for name, (job, codec) in fitted.tasks.items():
        place = labels_of(name, job, specs)
        labelled = ", ".join(
            f"{sum(1 for _ in label_cells(place, fitted.table, rows, fitted.root)):,} {part}"
            for part, rows in splits.items()
        )
        lines.append(f"task   {name:<{width}}  {_kind(job)}{_known(codec)}; labelled: {labelled}")
    return "\n".join(lines)


def _kind(spec: InputSpec | TaskSpec) -> str:
    """The kind, and of which columns where there are several."""
    several = spec.columns if isinstance(spec.columns, tuple) and len(spec.columns) > 1 else ()
    return f"{spec.kind} of {listed(several)}" if several else spec.kind


def _known(codec: Codec) -> str:
    """How many labels there are, and which."""
    number = len(codec.known)
    return f", {number} label{'s' * (number > 1)}: {listed(codec.known)}" if number else ""


def listed(names: Sequence[object]) -> str:
    """Names one after the other; of many the first and the last.

    >>> listed(range(139))
    '0, 1, 2, 3, 4, 5, ... 138'
    """
    texts = [text_of(name) for name in names]
    return ", ".join(texts if len(texts) <= SHOWN else [*texts[: SHOWN - 2], f"... {texts[-1]}"])
