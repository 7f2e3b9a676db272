"""In which order training visits the rows of an experiment."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float64, Int64

from motet.core.checks import text_of
from motet.core.errors import SpecError
from motet.data import Order
from motet.model import Network
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
        rank=rank,
        count=count,
    )


def check_order(prepared: Prepared, network: Network) -> None:
    """Refuse what can not be drawn, before anything is written."""
    kind = prepared.fitted.experiment.balance.modalities.kind
    task = _batched({name: spec for name, (spec, _) in prepared.fitted.tasks.items()})
    if task is not None and row_weights(prepared, network) is not None:
        raise SpecError(
            f"balance.modalities: {kind} draws rows one by one, but tasks.{task} learns from rows that meet in a "
            "batch; use modalities: none"
        )


def row_weights(prepared: Prepared, network: Network) -> Float64[np.ndarray, "rows"] | None:
    """How often each training row is wanted: what the throttle says of the inputs it has; None: all alike."""
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
