"""One column's cells -> items: the only place where a reader meets a table."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from motet.core.errors import CellError
from motet.core.flow import Column, Place
from motet.data.paths import Fence
from motet.data.problems import Problem, shown
from motet.data.several import Several, cells_of, resolved
from motet.data.table import Table

_ROWS_AT_ONCE = 4096
_REMEMBERED_ITEMS = 50_000
_LONGEST_REMEMBERED = 64


class Read(NamedTuple):
    """What reading a cell gave: its item, None where nothing of it can be read, and what is wrong with it."""

    item: np.ndarray | None
    problems: tuple[Problem, ...] = ()


class Pair(NamedTuple):
    """A raw cell and the one beside it."""

    cell: object
    other: object


@dataclass(frozen=True)
class CellReader:
    """Reads the cells of one named column of one table. `read` does not depend on chance, so repeats are remembered."""

    name: str
    column: Column
    table: Table
    fence: Fence
    _items: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def cells(self, rows: np.ndarray) -> list[object | None]:
        """The raw cells of these rows, or pairs where a column has another beside it; None where absent."""
        return _raw(self.table, self.column, rows, beside=self.column.beside)

    def read(self, cell: object, row: int) -> Read:
        """Read a present cell; of several media in one row each that is bad is left out. Nothing a reader raises gets
        out.
        """
        if isinstance(cell, str) and (known := self._items.get(cell)) is not None:
            return Read(known)
        try:
            media = self.column.media
            item = self.column.reader.read(self._resolved(cell, row))
        except CellError as error:
            if isinstance(cell, Several) and error.place is not None:
                return self._read_rest(cell, row, str(error), error.place)
            return self._refused(cell, row, str(error))
        except Exception as error:
            return self._refused(cell, row, f"{type(error).__name__}: {error}")
        if not media and isinstance(cell, str) and self._worth_remembering(cell):
            self._items[cell] = item
        return Read(item)

    def _resolved(self, cell: object, row: int) -> object:
        """The cell as its reader gets it."""
        column, folder = self.column, self.table.folder(row)
        return _found_in(cell, self.fence, folder, media=column.media, beside=column.beside)

    def _read_rest(self, cell: Several, row: int, reason: str, place: int) -> Read:
        label = cell.labels[place]
        name = next(name for name in self.column.names if label == name or label.startswith(f"{name} ("))
        own = self.table.own_name(row, name) + label.removeprefix(name)
        bad = self._problem(cell.parts[place], row, reason, own)
        rest = cell.without(place)
        item, problems = self.read(rest, row) if rest.parts else Read(None)
        return Read(item, (bad, *problems))

    def _worth_remembering(self, cell: str) -> bool:
        return len(cell) <= _LONGEST_REMEMBERED and len(self._items) < _REMEMBERED_ITEMS

    def _refused(self, cell: object, row: int, reason: str) -> Read:
        cell = cell.cell if isinstance(cell, Pair) else cell
        whole = list(cell.parts) if isinstance(cell, Several) else cell
        columns = ",".join(self.table.own_name(row, name) for name in self.column.names)
        return Read(None, (self._problem(whole, row, reason, columns),))

    def _problem(self, cell: object, row: int, reason: str, column: str) -> Problem:
        file, number = self.table.locate(row)
        return Problem(file, number, column, shown(cell), " ".join(reason.split()))


def present_cells(
    table: Table, place: Place, rows: np.ndarray, *, root: Path | None = None, beside: Place | None = None
) -> Iterator[object]:
    """The present cells of these rows as a reader's `read` gets them, for fitting; not what the fence refuses."""
    for cell in cells_as_read(table, place, rows, root=root, beside=beside):
        if cell is not None:
            yield cell


def cells_as_read(
    table: Table, place: Place, rows: np.ndarray, *, root: Path | None = None, beside: Place | None = None
) -> Iterator[object | None]:
    """For each of these rows its cell as a reader gets it; None where it is absent, or the fence refuses it."""
    fence = Fence(root)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[start : start + _ROWS_AT_ONCE]
        for cell, row in zip(_raw(table, place, part, beside=beside), part.tolist(), strict=True):
            yield cell if cell is None else _found(cell, fence, table.folder(row), media=place.media, beside=beside)


def _raw(table: Table, place: Place | Column, rows: np.ndarray, *, beside: Place | None) -> list[object | None]:
    cells = cells_of(table, place.names, rows=rows, missing=place.missing, separator=place.separator)
    if place.whole and len(place.names) > 1:
        cells = [cell if isinstance(cell, list) and all(one is not None for one in cell) else None for cell in cells]
    if place.separator is None and len(place.names) > 1:
        lacking = table.lacks(place.names, rows).tolist()
        cells = [None if without else cell for cell, without in zip(cells, lacking, strict=True)]
    if beside is None:
        return cells
    others = _raw(table, beside, rows, beside=None)
    pairs = zip(cells, others, strict=True)
    return [None if cell is None or other is None else Pair(cell, other) for cell, other in pairs]


def _found_in(cell: object, fence: Fence, folder: Path, *, media: bool, beside: Place | None) -> object:
    """A raw cell as its reader gets it; raises `CellError` for a path that leads outside or nowhere."""
    if beside is not None and isinstance(cell, Pair):
        own = _found_in(cell.cell, fence, folder, media=media, beside=None)
        return own, _found_in(cell.other, fence, folder, media=beside.media, beside=None)
    return resolved(cell, fence, folder) if media else cell


def _found(cell: object, fence: Fence, folder: Path, *, media: bool, beside: Place | None) -> object | None:
    """A cell as its reader gets it, without what the fence refuses; None where nothing is left."""
    try:
        return _found_in(cell, fence, folder, media=media, beside=beside)
    except CellError as error:
        if not isinstance(cell, Several) or error.place is None or len(cell.parts) == 1:
            return None
        return _found(cell.without(error.place), fence, folder, media=media, beside=beside)
