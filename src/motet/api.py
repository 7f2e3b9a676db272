"""The verbs. Each composes what the rooms offer; the command line and the notebook call the same functions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from motet.artifact import write_file
from motet.core.checks import did_you_mean
from motet.core.errors import DataError, SpecError
from motet.run import demo as demo_run
from motet.run.check import Checked, check_experiment
from motet.run.evaluate import evaluate_table, report_again
from motet.run.report import Report
from motet.serving import Predictor
from motet.serving.write import write_predictions
from motet.spec import Experiment
from motet.spec import changed as changed_document
from motet.spec import listing as spec_listing
from motet.spec import load as load_spec
from motet.study import Grouping, load_unlabelled
from motet.study import fit as fit_together
from motet.study import group as group_tasks
from motet.study.compare import compare as compare
from motet.study.compare import compare_runs as compare_runs
from motet.training import Progress, Quiet


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, its report, and its model, loaded when first asked for."""

    folder: Path
    report: Report
    already_done: bool = False

    @cached_property
    def model(self) -> Predictor:
        """The trained model."""
        return Predictor.load(self.folder)

    def summary(self) -> str:
        """What the command line prints at the end."""
        return f"{self.report.to_text()}\n\nreport  {self.folder / 'report.html'}\nmodel   {self.folder / 'bundle'}"


def fit(
    experiment: "Experiment | Mapping[str, Any] | str | Path",
    *,
    out: str | Path,
    resume: bool = False,
    changes: Sequence[str] = (),
    progress: Progress | None = None,
) -> Run:
    """Train an experiment into the folder `out`: bundle, log, checkpoints and report.

    `experiment` is an `Experiment`, a dict of the same shape, or the path of a YAML or JSON file, and then paths in it
    are relative to that file. `changes` are assignments such as "training.epochs=5". `resume` goes on where a run in
    `out` stopped, bit for bit. Raises `SpecError` and `DataError` before anything is written, `RunError` after.

    >>> import tempfile, motet
    >>> rows = [{"age": 20 + i, "bought": "no" if i < 20 else "yes"} for i in range(40)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = motet.fit(
    ...         {"data": rows, "inputs": {"age": "number"}, "tasks": {"bought": "binary"}, "training": {"epochs": 2}},
    ...         out=f"{folder}/first",
    ...     )
    ...     run.model.predict([{"age": 25}])[0]["bought"] in ("no", "yes")
    True
    """
    base = Path.cwd()
    if isinstance(experiment, str | Path):
        base = Path(experiment).resolve().parent
    experiment = _changed(experiment, changes)
    progress = progress or Quiet()
    try:
        outcome = fit_together(load_spec(experiment), out=Path(out), base=base, resume=resume, progress=progress)
    finally:
        progress.close()
    return Run(outcome.folder, outcome.report, outcome.already_done)


def pretrain(
    experiment: "Experiment | Mapping[str, Any] | str | Path",
    *,
    out: str | Path,
    resume: bool = False,
    changes: Sequence[str] = (),
    progress: Progress | None = None,
) -> Run:
    """Train an experiment's encoders and fusion without any label, into the folder of a run to start from.

    `training={"init_from": out}` of the same experiment goes on from there. The tasks are those of the experiment that
    need no label (matching, reconstruction); where it has none of these, a matching task for each pair of inputs that
    are media or texts, or a reconstruction of each input. All else is as for `fit`.

    >>> import tempfile, motet
    >>> rows = [{"age": 20 + i, "bought": "no" if i < 20 else "yes"} for i in range(40)]
    >>> experiment = {"data": rows, "inputs": {"age": "number"}, "tasks": {"bought": "binary"}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = motet.pretrain(experiment, out=f"{folder}/pre", changes=["training.epochs=1"])
    ...     run = motet.fit(experiment | {"training": {"epochs": 1, "init_from": f"{folder}/pre"}}, out=f"{folder}/run")
    ...     list(first.report.content["tasks"]), list(run.report.content["tasks"])
    (['reconstruction of age'], ['bought'])
    """
    base = Path(experiment).resolve().parent if isinstance(experiment, str | Path) else Path.cwd()
    progress = progress or Quiet()
    try:
        spec = load_unlabelled(_changed(experiment, changes))
        outcome = fit_together(spec, out=Path(out), base=base, resume=resume, progress=progress)
    finally:
        progress.close()
    return Run(outcome.folder, outcome.report, outcome.already_done)


def load(folder: str | Path) -> Predictor:
    """The trained model in a run folder or a bundle; raises `BundleError` where there is none or it is damaged."""
    return Predictor.load(folder)


def evaluate(model: "Predictor | str | Path", data: Any = None, *, root: str | Path | None = None) -> Report:
    """Score a model on a table with labels: `report["rating"]["mae"].value`, `.low` and `.high` (bootstrap).

    Without `data`, the report the run wrote about its own held-out rows. Raises `DataError` where no label is there.
    """
    if data is None:
        if isinstance(model, Predictor):
            raise SpecError("evaluate: a model alone has no held-out rows; pass a table, or the folder of the run")
        return Report.of_run(Path(model))
    predictor = model if isinstance(model, Predictor) else load(model)
    return evaluate_table(predictor, data, root=root)


def predict(
    run: str | Path,
    data: Any,
    *,
    output: str | Path,
    root: str | Path | None = None,
    force: bool = False,
    explain: bool = False,
    progress: Progress | None = None,
) -> int:
    """Answer every row of a table into a .csv, .parquet or .jsonl file; how many rows were written.

    With `explain` also what each input adds to each answer, `TASK__contribution_INPUT`.
    Raises `DataError` for cells that can not be read, and `SpecError` when the file exists and `force` is False.
    """
    output = Path(output)
    _may_write(output, force)
    say = (progress or Quiet()).say
    return write_predictions(load(run), data, output, root=root, explain=explain, say=say)


def init(
    table: str | Path,
    *,
    tasks: Sequence[str],
    inputs: Sequence[str] | None = None,
    output: str | Path = "experiment.yaml",
    force: bool = False,
) -> Path:
    """Infer the kind of every column and write a commented experiment; raises `SpecError` for an unknown column."""
    from motet.data import read_table
    from motet.spec.propose import propose

    output = Path(output)
    _may_write(output, force)
    text = propose(read_table(table), path=Path(table), folder=output.resolve().parent, tasks=tasks, inputs=inputs)
    write_file(output, text.encode())
    return output


def check(
    experiment: "Experiment | Mapping[str, Any] | str | Path",
    *,
    sample: int | None = None,
    changes: Sequence[str] = (),
    progress: Progress | None = None,
) -> Checked:
    """Validate an experiment and every cell it needs; `.problems` are lines `file:row:column: reason`."""
    base = Path(experiment).resolve().parent if isinstance(experiment, str | Path) else Path.cwd()
    experiment = _changed(experiment, changes)
    progress = progress or Quiet()
    try:
        return check_experiment(load_spec(experiment), base=base, sample=sample, progress=progress)
    finally:
        progress.close()


def group(run: "Run | str | Path", *, models: int) -> Grouping:
    """Which tasks of a finished run to train together, in at most so many models: `.groups`, `.affinity`, `.conflicts`.

    Raises `SpecError` for fewer models than 1 or more than tasks, `BundleError` for a run without relations.
    """
    return group_tasks(run.folder if isinstance(run, Run) else Path(run), models=models)


def report(runs: "Sequence[str | Path] | str | Path") -> list[Path]:
    """Write report.html of each run again from its report and log; the files written (`compare_runs` compares them)."""
    folders = [runs] if isinstance(runs, str | Path) else runs
    return [report_again(Path(folder)) for folder in folders]


def demo(out: str | Path = "runs/demo", *, progress: Progress | None = None) -> Run:
    """Make a table of pictures, sounds, texts and numbers, and train three tasks on it; replaces a former demo."""
    return demo_run.demo(Path(out), fit=fit, progress=progress or Quiet())


def listing(room: str | None = None, *, as_json: bool = False) -> str:
    """Every kind of every room, or of one, with one line and its paper."""
    rooms = spec_listing()
    if room is not None:
        if room not in rooms:
            raise SpecError(f"{room!r} is not a room{did_you_mean(room, rooms)}")
        rooms = {room: rooms[room]}
    if as_json:
        return json.dumps(rooms, indent=1, ensure_ascii=False)
    lines = []
    width = 2 + max(len(kind["kind"]) for kinds in rooms.values() for kind in kinds)
    for name, kinds in rooms.items():
        lines.append(name)
        lines += [f"  {kind['kind']:<{width}}{kind['summary']}{_cited(kind['paper'])}" for kind in kinds]
    return "\n".join(lines)


def _changed(
    experiment: "Experiment | Mapping[str, Any] | str | Path", changes: Sequence[str]
) -> "Experiment | Mapping[str, Any] | str | Path":
    if not changes:
        return experiment
    if isinstance(experiment, Experiment):
        raise SpecError("changes apply to a document; change an Experiment by `model_copy(update=...)`")
    return changed_document(experiment, changes)


def _cited(paper: str) -> str:
    return f" [{paper}]" if paper else ""


def _may_write(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise SpecError(f"{path}: is there already; choose another file, or replace it with --force")
    if not path.resolve().parent.is_dir():
        raise DataError(f"{path}: there is no folder {path.parent}")
