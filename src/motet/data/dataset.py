"""Rows of a store -> a `Batch`; and, for serving, rows of any table -> a `Batch` by the same path."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from motet.core import seed as seeds
from motet.core.flow import Batch, Cells, Column
from motet.data.problems import Problem
from motet.data.store import Store, StoredColumn, read_cells
from motet.data.table import Table


class Dataset:
    """Batches of a store. `inputs` and `targets` name its columns; `seed` keys the augmentation.

    `weights` say how much each row of the store counts; in training a row that does not count at all has no targets. A
    target whose column `needs` inputs is absent without them.

    A column that is absent in a whole batch has the same tensors as ever, all zero, in the trailing shape of the
    store's first item. A column without any item in the store has no tensors at all.
    """

    def __init__(
        self,
        store: Store,
        *,
        inputs: Sequence[str],
        targets: Sequence[str] = (),
        seed: int = 0,
        weights: Float32[np.ndarray, "rows"] | None = None,
    ) -> None:
        self.store, self.weights = store, weights
        self._inputs, self._targets, self._seed = tuple(inputs), tuple(targets), seed
        self._templates: dict[str, dict[str, Tensor]] = {}

    def of(self, store: Store) -> "Dataset":
        """The same inputs and targets of another store of the same rows."""
        return Dataset(store, inputs=self._inputs, targets=self._targets, seed=self._seed, weights=self.weights)

    def batch(self, rows: Int64[np.ndarray, "B"], *, epoch: int | None) -> Batch:
        """The batch of these table rows; in training, `epoch` says which variation of each item is drawn."""
        places = self.store.places(rows)
        inputs = {name: self._cells(name, rows, places, epoch) for name in self._inputs}
        targets = {name: self._cells(name, rows, places, epoch) for name in self._targets}
        weights = None if self.weights is None else torch.from_numpy(self.weights[places])
        if weights is not None and epoch is not None:
            targets = {name: Cells(one.values, one.present & (weights > 0)) for name, one in targets.items()}
        return Batch(inputs, targets, torch.from_numpy(rows.astype(np.int64)), weights=weights)

    def _cells(self, name: str, rows: np.ndarray, places: np.ndarray, epoch: int | None) -> Cells:
        column = self.store.columns[name]
        present = column.present[places]
        for needed in column.cells.column.needs:
            present = present & self.store.columns[needed].present[places]
        if not present.any():
            template = self._template(name, column)
            values = {
                key: torch.zeros((len(rows), *each.shape[1:]), dtype=each.dtype) for key, each in template.items()
            }
            return Cells(values, torch.from_numpy(present))
        everywhere = bool(present.all())
        here, here_rows = (places, rows) if everywhere else (places[present], rows[present])
        items = column.take(here, here_rows)
        if epoch is not None and column.reader.varies:
            chance = column.cells.column.varies_as or name
            items = [
                column.reader.augment(item, seeds.generator(self._seed, epoch, row, chance))
                for item, row in zip(items, here_rows.tolist(), strict=True)
            ]
        values = column.reader.batch(items)
        mask = torch.from_numpy(present)
        if not everywhere:
            values = {key: _scattered(value, mask) for key, value in values.items()}
        return Cells(values, mask)

    def _template(self, name: str, column: StoredColumn) -> dict[str, Tensor]:
        """The tensors of the first item there is, for their names, types and trailing shapes."""
        if name not in self._templates:
            first = np.flatnonzero(column.present)[:1]
            items = column.take(first, self.store.rows[first])
            self._templates[name] = column.reader.batch(items) if items else {}
        return self._templates[name]


def rows_to_batch(
    table: Table,
    columns: Mapping[str, Column],
    *,
    root: Path | None = None,
    on_bad_cell: Literal["error", "skip"] = "error",
) -> tuple[Batch, list[Problem]]:
    """All rows of a table as one batch of inputs, and the cells that were skipped; nothing is remembered on disk.

    Errors: `BadCells` with policy "error".
    """
    store = read_cells(table, None, columns, root=root, on_bad_cell=on_bad_cell, max_bad_fraction=1.0, remember=False)
    return Dataset(store, inputs=tuple(columns)).batch(store.rows, epoch=None), list(store.problems)


def _scattered(value: Tensor, mask: Tensor) -> Tensor:
    whole = torch.zeros((len(mask), *value.shape[1:]), dtype=value.dtype)
    whole[mask] = value
    return whole
