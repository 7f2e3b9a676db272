"""In which order training visits the rows of an experiment."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float64, Int64

from motet.core.checks import text_of
from motet.core.errors import SpecError
from motet.data import Order, table_weights
from motet.model import Network
from motet.run.draws import class_weights
from motet.run.prepare import Prepared
from motet.tasks.base import TaskSpec


def order_of(prepared: Prepared, network: Network, *, rank: int = 0, count: int = 1) -> Order:
    """The order of the training rows, of which this process takes its share.

    Raises `SpecError` where rows are asked to be drawn in ways that exclude each other.
    """
    spec = prepared.fitted.experiment.training
    return Order(
        prepared.fitted.splits.train,
        batch_size=int(spec.batch_size),
        seed=spec.seed,
        weights=row_weights(prepared, network),
        groups=row_groups(prepared),
        lengths=row_lengths(prepared) if spec.group_lengths else None,
        rank=rank,
        count=count,
    )


def check_order(prepared: Prepared, network: Network) -> None:
    """Refuse what can not be drawn, before anything is written."""
    wanted = _wanted(prepared, network)
    task = _batched({name: spec for name, (spec, _) in prepared.fitted.tasks.items()})
    if task is not None and wanted:
        field = next(iter(wanted))
        raise SpecError(
            f"{field}: rows are drawn one by one, but tasks.{task} learns from rows that meet in a batch; leave it out"
        )
    if task is not None and prepared.fitted.experiment.training.group_lengths:
        raise SpecError(f"training.group_lengths: tasks.{task} says which rows meet in a batch; leave it out")
    if _BY_INPUTS in wanted and _BY_CLASS in wanted:
        raise SpecError(
            f"{_BY_CLASS}: rows are drawn by their classes, and by {_BY_INPUTS} ("
            f"{prepared.fitted.experiment.balance.modalities.kind}) by the inputs they have; leave out one of them"
        )


def row_weights(prepared: Prepared, network: Network) -> Float64[np.ndarray, "rows"] | None:
    """How often each training row is wanted, all who want something multiplied; None: all alike."""
    wanted = list(_wanted(prepared, network).values())
    return np.prod(wanted, axis=0) if wanted else None


_BY_INPUTS, _BY_TABLE, _BY_CLASS = "balance.modalities", "data.sampling", "data.resample"


def _wanted(prepared: Prepared, network: Network) -> dict[str, Float64[np.ndarray, "rows"]]:
    """By the field that asks for it, how often each training row is wanted; a field that has no wish is left out."""
    fitted, rows = prepared.fitted, prepared.fitted.splits.train
    spec = fitted.experiment.data
    found = {
        _BY_INPUTS: _by_inputs(prepared, network),
        _BY_TABLE: table_weights(spec.sampling, fitted.table, rows),
        _BY_CLASS: None if spec.resample is None else class_weights(prepared.dataset, rows, spec.resample),
    }
    return {field: weights for field, weights in found.items() if weights is not None}


def _by_inputs(prepared: Prepared, network: Network) -> Float64[np.ndarray, "rows"] | None:
    """What the throttle says of the inputs each training row has."""
    store, rows = prepared.dataset.store, prepared.fitted.splits.train
    places = store.places(rows)
    present = {name: torch.from_numpy(store.columns[name].present[places]) for name in sorted(prepared.fitted.inputs)}
    weights = network.throttle.row_weights(present)
    return None if weights is None else weights.double().numpy()


def row_groups(prepared: Prepared) -> Int64[np.ndarray, "rows"] | None:
    """The number of the group of each training row, where a task is learned from groups; None: there are none.

    A row without a group is one by itself.
    """
    tasks = {name: spec for name, (spec, _) in prepared.fitted.tasks.items()}
    task = _batched(tasks)
    column = None if task is None else tasks[task].batched_by
    if column is None:
        return None
    rows = prepared.fitted.splits.train
    cells = prepared.fitted.table.cells((column,), rows=rows)
    number: dict[str, int] = {}
    found = [-1 if cell is None else number.setdefault(text_of(cell), len(number)) for cell in cells]
    groups = np.array(found, dtype=np.int64)
    alone = groups < 0
    groups[alone] = len(number) + np.arange(alone.sum())
    return groups


def row_lengths(prepared: Prepared) -> Int64[np.ndarray, "rows columns"] | None:
    """How long each training row is in the inputs that are of unequal length, the one with the most to pad first.

    0 where a row has no such input; None where there is none whose lengths are known, as of those that are read again
    for each batch.
    """
    store, rows = prepared.dataset.store, prepared.fitted.splits.train
    places = store.places(rows)
    lengths = [store.columns[name].lengths for name in sorted(prepared.fitted.inputs)]
    found = [one[places] for one in lengths if one is not None]
    if not found or not len(places):
        return None
    to_pad = [float(one.max() - one.mean()) for one in found]
    return np.stack([found[place] for place in np.argsort(to_pad, kind="stable")[::-1]], axis=1)


def _batched(tasks: Mapping[str, TaskSpec]) -> str | None:
    """The first task that is learned from groups of rows; raises `SpecError` where two ask for different groups."""
    by = {name: spec.batched_by for name, spec in sorted(tasks.items()) if spec.batched_by is not None}
    first = next(iter(by), None)
    for name, column in by.items():
        if first is not None and column != by[first]:
            raise SpecError(
                f"tasks.{name}: the rows of one {column!r} have to meet in a batch, but for tasks.{first} those of one "
                f"{by[first]!r}; train the two tasks apart"
            )
    return first
