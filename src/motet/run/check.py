"""Everything that can be known to be wrong before a run starts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motet.data import verify
from motet.inputs.base import InputSpec
from motet.run.prepare import Fitted, build, fit_columns
from motet.spec import Experiment
from motet.tasks.base import TaskSpec
from motet.training import Progress


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
    splits = fitted.splits
    kinds = ", ".join(f"{name} ({_kind(spec)})" for name, (spec, _) in fitted.inputs.items())
    jobs = ", ".join(f"{name} ({_kind(spec)})" for name, (spec, _) in fitted.tasks.items())
    return (
        f"{num_rows:,} of {fitted.table.num_rows:,} rows read, no problem: {len(splits.train):,} train, "
        f"{len(splits.valid):,} valid, {len(splits.test):,} test\ninputs  {kinds}\ntasks   {jobs}"
    )


def _kind(spec: InputSpec | TaskSpec) -> str:
    """The kind, and of which columns where there are several."""
    several = spec.columns if isinstance(spec.columns, tuple) and len(spec.columns) > 1 else ()
    return f"{spec.kind} of {', '.join(several)}" if several else spec.kind
