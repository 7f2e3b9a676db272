"""Every cell of the chosen rows, read once and checked; then kept in memory, or read again when it is too much.

Kept or not, the items are the same, so the batches are too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64

from motet.core.errors import DataError
from motet.core.flow import Column, Reader
from motet.data.cells import CellReader
from motet.data.items import Items
from motet.data.paths import Fence
from motet.data.problems import BadCells, Problem
from motet.data.reading import read_column
from motet.data.table import Table

Progress = Callable[[int, int], None]
KEEP_BYTES = 2 << 30


@dataclass(frozen=True)
class StoredColumn:
    """One column: which rows have a readable cell, their items where they are kept, and what could not be read."""

    cells: CellReader
    present: Bool[np.ndarray, "rows"]
    items: Items | None
    problems: frozenset[Problem]
    _positions: Int64[np.ndarray, "rows"]

    @property
    def reader(self) -> Reader:
        """What turns cells into items and items into tensors."""
        return self.cells.column.reader

    @property
    def lengths(self) -> Int64[np.ndarray, "rows"] | None:
        """How long each row's item is, along the first axis in which items differ, 0 where there is none.

        None where all are as long, or items are not kept.
        """
        if self.items is None or self.items.block is not None or not len(self.items):
            return None
        differ = (self.items.shapes != self.items.shapes[0]).any(axis=0)
        lengths = np.zeros(len(self.present), dtype=np.int64)
        lengths[self.present] = self.items.shapes[:, int(np.argmax(differ))]
        return lengths

    def take(self, places: Int64[np.ndarray, "n"], rows: Int64[np.ndarray, "n"]) -> list[np.ndarray]:
        """The items at these places of the store, all of which are present; `rows` are their table rows."""
        if self.items is not None:
            return self.items.take(self._positions[places])
        return [self._again(cell, row) for cell, row in zip(self.cells.cells(rows), rows.tolist(), strict=True)]

    def _again(self, cell: object, row: int) -> np.ndarray:
        item, problems = self.cells.read(cell, row)
        new = next((problem for problem in problems if problem not in self.problems), None)
        if item is None or new is not None:
            raise DataError(f"{new} (it could be read before: the file was changed meanwhile)")
        return item


@dataclass(frozen=True)
class Store:
    """The cells of some rows of a table. `rows` rise; `problems` are the cells that were skipped."""

    table: Table
    rows: Int64[np.ndarray, "rows"]
    columns: Mapping[str, StoredColumn]
    problems: tuple[Problem, ...]

    def places(self, rows: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
        """Where these table rows are in the store."""
        places = np.searchsorted(self.rows, rows)
        assert np.array_equal(self.rows[np.minimum(places, len(self.rows) - 1)], rows), "rows that were not read"
        return places


def read_cells(
    table: Table,
    rows: Int64[np.ndarray, "rows"] | None,
    columns: Mapping[str, Column],
    *,
    root: Path | None = None,
    on_bad_cell: Literal["error", "skip"] = "error",
    max_bad_fraction: float = 0.05,
    progress: Progress | None = None,
    workers: int = 0,
    keep_bytes: int = KEEP_BYTES,
    remember: bool = True,
) -> Store:
    """Read every cell of `rows` (None: all) once. `workers` threads decode media; the result does not depend on them.

    Columns are read in turn, cheap ones first, and kept until `keep_bytes` are spent; the rest is read again for each
    batch. With `remember`, items of media are also kept in the cache folder, and mapped from there the next time.
    `progress(done, total)` counts cells.
    Errors: `BadCells` (a `DataError`) with policy "error", or when more than `max_bad_fraction` of the present cells
    of a column are bad; columns the table does not have are a `DataError` too.
    """
    chosen = np.arange(table.num_rows) if rows is None else np.unique(rows)
    _check_names(table, columns)
    fence = Fence(root)
    stored: dict[str, StoredColumn] = {}
    problems: list[Problem] = []
    total, done = len(chosen) * len(columns), 0
    for name in sorted(columns, key=lambda name: columns[name].media):
        cells = CellReader(name, columns[name], table, fence)
        tell = _offset(progress, done, total)
        found = read_column(cells, chosen, budget=keep_bytes, progress=tell, workers=workers, remember=remember)
        _check_fraction(name, found.problems, found.present, on_bad_cell, max_bad_fraction)
        problems += found.problems
        keep_bytes -= 0 if found.items is None else found.items.flat.nbytes
        positions = np.cumsum(found.present) - 1
        stored[name] = StoredColumn(cells, found.present, found.items, frozenset(found.problems), positions)
        done += len(chosen)
    if problems and on_bad_cell == "error":
        raise BadCells(problems)
    return Store(table, chosen, {name: stored[name] for name in columns}, tuple(problems))


def verify(
    table: Table,
    rows: Int64[np.ndarray, "rows"] | None,
    columns: Mapping[str, Column],
    *,
    root: Path | None = None,
    progress: Progress | None = None,
    workers: int = 0,
) -> list[Problem]:
    """Every bad cell of these rows, for `motet check`; media it could read are remembered for the training."""
    store = read_cells(
        table,
        rows,
        columns,
        root=root,
        on_bad_cell="skip",
        max_bad_fraction=1.0,
        progress=progress,
        workers=workers,
    )
    return list(store.problems)


def _check_names(table: Table, columns: Mapping[str, Column]) -> None:
    from motet.core.checks import did_you_mean

    for name, column in columns.items():
        for each in column.names:
            if each not in table.column_names:
                where = f"{table.parts[0].name}: no column {each!r} for {name!r}"
                raise DataError(where + did_you_mean(each, table.column_names))


def _check_fraction(
    name: str, problems: list[Problem], present: np.ndarray, on_bad_cell: str, max_bad_fraction: float
) -> None:
    num_cells = int(present.sum()) + len(problems)
    if on_bad_cell == "skip" and len(problems) > max_bad_fraction * num_cells:
        share = f"{len(problems)} of {num_cells} cells of {name!r} can not be read"
        raise BadCells(problems, f"{share}, more than data.max_bad_fraction ({max_bad_fraction:g}) allows:")


def _offset(progress: Progress | None, done: int, total: int) -> Callable[[int], None]:
    if progress is None:
        return lambda count: None
    return lambda count: progress(done + count, total)
