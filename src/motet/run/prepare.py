"""Experiment + table -> everything fitted, every cell read, nothing "auto" left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from motet.core.errors import DataError, SpecError
from motet.core.flow import Column
from motet.data import (
    Dataset,
    Problem,
    Splits,
    Table,
    absolute_paths,
    load_data,
    loss_weights,
    present_cells,
    read_cells,
)
from motet.inputs.base import InputSpec, Preparation
from motet.model import Network, assemble
from motet.model.columns import input_columns, input_place, labels_of, task_columns
from motet.model.share import as_owner, owners
from motet.run.columns import check_apart, check_subgroups, with_columns
from motet.run.doubts import doubts, label_cells
from motet.run.draws import check_resampled, check_weighed
from motet.run.fit import fit_inputs
from motet.run.init_from import Start, start_of
from motet.run.start import Taken, give
from motet.run.units import fit_tasks
from motet.spec import Balance, Experiment
from motet.tasks.base import Codec, TaskSpec
from motet.training import Progress, has_bfloat16, num_cores, pick_device
from motet.training.mixing import check_mixed


@dataclass(frozen=True)
class Fitted:
    """A resolved experiment with what was fitted on its training rows.

    `weights` say how much each row of the splits counts in the losses; None: all alike. `start` is the model that
    training starts from, `taken` what of it is taken.
    """

    experiment: Experiment
    table: Table
    splits: Splits
    weights: Float32[np.ndarray, "rows"] | None
    root: Path | None
    inputs: Mapping[str, tuple[InputSpec, Preparation]]
    tasks: Mapping[str, tuple[TaskSpec, Codec]]
    warnings: tuple[str, ...]
    start: Start | None = None
    taken: Taken | None = None

    @property
    def columns(self) -> tuple[dict[str, Column], dict[str, Column]]:
        """What the data room reads: inputs and targets."""
        specs = {name: spec for name, (spec, _) in self.inputs.items()}
        return input_columns(self.inputs), task_columns(self.tasks, specs)


@dataclass(frozen=True)
class Prepared:
    """A fitted experiment with its cells read."""

    fitted: Fitted
    dataset: Dataset


def fit_columns(experiment: Experiment, *, base: Path, kept: Path | None = None) -> Fitted:
    """Read the tables, split the rows, and fit every preparation and codec on the training rows.

    `base` is the folder that relative paths start from, `kept` where a run that is resumed has a copy of the model it
    started from. Raises `SpecError` and `DataError` before anything is written.
    """
    given = {
        name: as_owner(experiment.inputs[name], experiment.inputs[owner]).located(base)
        for name, owner in owners(experiment.inputs).items()
    }
    spec = experiment.data
    root = None if spec.root is None else (base / spec.root)
    if root is not None and not root.is_dir():
        raise DataError(f"data.root: {spec.root!r} is not a folder")
    table, splits = load_data(spec, base=base, seed=experiment.training.seed)
    if not len(splits.valid) and not len(splits.test):
        raise SpecError(
            "data: neither valid nor test names any rows, so nothing could tell how good the model is; "
            "set data.valid to a fraction such as 0.1, or to a table"
        )
    weights = loss_weights(table, spec.weight, rows=splits.rows, train=splits.train)
    inputs, tasks = with_columns(given, experiment.tasks, table.columns_of(splits.train))
    check_apart(inputs, tasks, id_column=spec.id)
    check_subgroups(experiment.evaluation.subgroups, table.column_names)
    cells = {
        name: present_cells(table, input_place(name, one), splits.train, root=root) for name, one in inputs.items()
    }
    training = experiment.training
    if training.init_from is not None:
        training = training.model_copy(update={"init_from": training.init_from.located(base)})
    start = start_of(training.init_from, inputs, kept=kept)
    fitted_inputs = fit_inputs(inputs, cells, known=None if start is None else start.known(inputs))
    inputs = {name: one for name, (one, _) in fitted_inputs.items()}
    labels = {name: label_cells(labels_of(name, job, inputs), table, splits.train, root) for name, job in tasks.items()}
    fitted_tasks = fit_tasks(tasks, labels, {name: reader for name, (_, reader) in fitted_inputs.items()})
    tasks = {name: job for name, (job, _) in fitted_tasks.items()}
    places = {name: labels_of(name, job, inputs) for name, job in tasks.items()}
    warnings = doubts(table, splits, spec, inputs=inputs, tasks=fitted_tasks, labels=places, root=root)
    return Fitted(
        experiment=experiment.model_copy(
            update={
                "inputs": inputs,
                "tasks": tasks,
                "fusion": experiment.fusion.resolved(len(inputs)),
                "training": training,
            }
        ),
        table=table,
        splits=splits,
        weights=weights,
        root=root,
        inputs=fitted_inputs,
        tasks=fitted_tasks,
        warnings=warnings,
        start=start,
    )


def prepare(experiment: Experiment, *, base: Path, progress: Progress, kept: Path | None = None) -> Prepared:
    """Fit, read every cell under the experiment's policy, and resolve what remains "auto"; `kept` as `fit_columns`."""
    fitted = fit_columns(experiment, base=base, kept=kept)
    for line in fitted.warnings:
        progress.say(f"warning: {line}")
    network = build(fitted)  # parts that do not fit together are refused before every cell is read
    taken = _given(fitted, network)
    if fitted.start is not None and taken is not None:
        progress.say(f"taken from {fitted.start.run}: {taken.text()}")
        fitted = replace(fitted, taken=taken)
    inputs, targets = fitted.columns
    spec = experiment.data
    store = read_cells(
        fitted.table,
        fitted.splits.rows,
        inputs | targets,
        root=fitted.root,
        on_bad_cell=spec.on_bad_cell,
        max_bad_fraction=spec.max_bad_fraction,
        progress=lambda done, total: progress.stage("reading cells", done, total),
    )
    _report_skipped(store.problems, progress)
    device = pick_device(experiment.training.device)
    training = fitted.experiment.training.resolved(
        num_rows=len(fitted.splits.train),
        streaming=any(column.items is None for column in store.columns.values()),
        device=str(device),
        bfloat16=has_bfloat16(device),
        cores=num_cores(),
    )
    tables = {part: absolute_paths(getattr(spec, part), part, base) for part in ("train", "valid", "test")}
    data = spec.model_copy(update=tables | {"root": fitted.root and str(fitted.root.resolve())})
    balance = fitted.experiment.balance
    fans_out = all(one.fans_out for _, one in network.sharing.items())
    apart = _labels_apart([store.columns[task].present for task in targets])
    tasks = balance.tasks.resolved(apart=apart, fans_out=fans_out)
    watch = _watch(balance, num_tasks=len(targets), fans_out=fans_out)
    balance = balance.model_copy(update={"tasks": tasks, "watch": watch})
    resolved = fitted.experiment.model_copy(update={"training": training, "data": data, "balance": balance})
    dataset = Dataset(store, inputs=tuple(inputs), targets=tuple(targets), seed=training.seed, weights=fitted.weights)
    return Prepared(replace(fitted, experiment=resolved), dataset)


def build(fitted: Fitted) -> Network:
    """The untrained network of a fitted experiment, with the weights it starts from.

    Raises `SpecError` where its parts do not fit together.
    """
    experiment = fitted.experiment
    network = assemble(
        inputs=fitted.inputs,
        tasks=fitted.tasks,
        fusion=experiment.fusion,
        sharing=experiment.sharing,
        task_balance=experiment.balance.tasks,
        modality_balance=experiment.balance.modalities,
        seed=experiment.training.seed,
    )
    _given(fitted, network)
    given = () if fitted.start is None else fitted.start.inputs
    for name in sorted(set(owners(experiment.inputs).values()).difference(given)):
        try:
            experiment.inputs[name].start(network.encoders[name].encoder)
        except SpecError as error:
            raise SpecError(f"inputs.{name}.{error}") from None
    check_resampled(experiment.data.resample, {name: spec for name, (spec, _) in fitted.tasks.items()})
    if experiment.training.mix is not None:
        check_mixed(network, experiment.training.mix, fitted.inputs)
    if fitted.weights is not None:
        check_weighed(network, balance=experiment.balance.modalities.kind)
    return network


def _given(fitted: Fitted, network: Network) -> Taken | None:
    """Put what `training.init_from` names into the network; what that is."""
    spec = fitted.experiment
    return None if fitted.start is None else give(fitted.start, network, fusion=spec.fusion, sharing=spec.sharing)


MOST_WATCHED = 16
"""Beyond so many tasks gradients are compared only for who asks: all of them are held at once."""


def _watch(balance: Balance, *, num_tasks: int, fans_out: bool) -> int:
    """`balance.watch` without "auto"; with a throttle gradients are compared at a layer, which tasks may not share."""
    nowhere = balance.modalities.kind != "none" and not fans_out
    if balance.watch == "auto":
        return 0 if num_tasks == 1 or num_tasks > MOST_WATCHED or nowhere else max(20, 10 * num_tasks)
    if balance.watch and nowhere:
        raise SpecError(
            "balance.watch: with this way of sharing gradients can only be compared at the parameters, and "
            f"balance.modalities ({balance.modalities.kind}) would take them for the step's; use watch: 0"
        )
    return balance.watch


def _labels_apart(present: Sequence[np.ndarray]) -> bool:
    """Whether most labelled rows have the label of one task only: then tasks share no row to compare gradients at."""
    counts = np.sum(present, axis=0)
    return len(present) > 1 and bool((counts == 1).sum() > (counts > 1).sum())


def _report_skipped(problems: Sequence[Problem], progress: Progress) -> None:
    for problem in problems[:5]:
        progress.say(f"skipped: {problem}")
    if len(problems) > 5:
        progress.say(f"skipped: {len(problems) - 5} further cells; `motet check` lists all")
