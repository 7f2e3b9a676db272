"""One column's cells -> items: the only place where a reader meets a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from motet.core.errors import CellError
from motet.core.flow import Column
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


@dataclass(frozen=True)
class CellReader:
    """Reads the cells of one named column of one table. `read` does not depend on chance, so repeats are remembered."""

    name: str
    column: Column
    table: Table
    fence: Fence
    _items: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def cells(self, rows: np.ndarray) -> list[object | None]:
        """The raw cells of these rows; None where absent."""
        column = self.column
        return cells_of(self.table, column.names, rows=rows, missing=column.missing, separator=column.separator)

    def read(self, cell: object, row: int) -> Read:
        """Read a present cell; of several media in one row each that is bad is left out. Nothing a reader raises gets
        out.
        """
        if isinstance(cell, str) and (known := self._items.get(cell)) is not None:
            return Read(known)
        try:
            media = self.column.media
            item = self.column.reader.read(resolved(cell, self.fence, self.table.folder(row)) if media else cell)
        except CellError as error:
            if isinstance(cell, Several) and error.place is not None:
                return self._read_rest(cell, row, str(error), error.place)
            return self._refused(cell, row, str(error))
        except Exception as error:
            return self._refused(cell, row, f"{type(error).__name__}: {error}")
        if not media and isinstance(cell, str) and self._worth_remembering(cell):
            self._items[cell] = item
        return Read(item)

    def _read_rest(self, cell: Several, row: int, reason: str, place: int) -> Read:
        bad = self._problem(cell.parts[place], row, reason, cell.labels[place])
        rest = cell.without(place)
        item, problems = self.read(rest, row) if rest.parts else Read(None)
        return Read(item, (bad, *problems))

    def _worth_remembering(self, cell: str) -> bool:
        return len(cell) <= _LONGEST_REMEMBERED and len(self._items) < _REMEMBERED_ITEMS

    def _refused(self, cell: object, row: int, reason: str) -> Read:
        whole = list(cell.parts) if isinstance(cell, Several) else cell
        return Read(None, (self._problem(whole, row, reason, ",".join(self.column.names)),))

    def _problem(self, cell: object, row: int, reason: str, column: str) -> Problem:
        file, number = self.table.locate(row)
        return Problem(file, number, column, shown(cell), " ".join(reason.split()))


def present_cells(
    table: Table,
    names: Sequence[str],
    rows: np.ndarray,
    *,
    media: bool = False,
    missing: Sequence[str] = (),
    separator: str | None = None,
    root: Path | None = None,
) -> Iterator[object]:
    """The present cells of these rows as a reader's `read` gets them, for fitting; not what the fence refuses."""
    fence = Fence(root)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[start : start + _ROWS_AT_ONCE]
        cells = cells_of(table, names, rows=part, missing=missing, separator=separator)
        for cell, row in zip(cells, part.tolist(), strict=True):
            found = _found(cell, fence, table.folder(row)) if media and cell is not None else cell
            if found is not None:
                yield found


def _found(cell: object, fence: Fence, folder: Path) -> object | None:
    """A media cell as its reader gets it, without what the fence refuses; None where nothing is left."""
    try:
        return resolved(cell, fence, folder)
    except CellError as error:
        if not isinstance(cell, Several) or error.place is None or len(cell.parts) == 1:
            return None
        return _found(cell.without(error.place), fence, folder)
