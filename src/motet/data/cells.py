"""One column's cells -> items: the only place where a reader meets a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from motet.core.errors import CellError
from motet.core.flow import Column
from motet.data.paths import Fence
from motet.data.problems import Problem, shown
from motet.data.table import Table

_ROWS_AT_ONCE = 4096
_REMEMBERED_ITEMS = 50_000
_LONGEST_REMEMBERED = 64


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
        return self.table.cells(self.column.names, missing=self.column.missing, rows=rows)

    def read(self, cell: object, row: int) -> np.ndarray | Problem:
        """The item of a present cell, or what is wrong with it. Nothing a reader raises gets out."""
        if isinstance(cell, str) and (known := self._items.get(cell)) is not None:
            return known
        try:
            media = self.column.media
            item = self.column.reader.read(self.fence.resolve(cell, self.table.folder(row)) if media else cell)
        except CellError as error:
            return self._problem(cell, row, str(error))
        except Exception as error:
            return self._problem(cell, row, f"{type(error).__name__}: {error}")
        if not media and isinstance(cell, str) and self._worth_remembering(cell):
            self._items[cell] = item
        return item

    def _worth_remembering(self, cell: str) -> bool:
        return len(cell) <= _LONGEST_REMEMBERED and len(self._items) < _REMEMBERED_ITEMS

    def _problem(self, cell: object, row: int, reason: str) -> Problem:
        file, number = self.table.locate(row)
        return Problem(file, number, ",".join(self.column.names), shown(cell), " ".join(reason.split()))


def present_cells(
    table: Table,
    names: Sequence[str],
    rows: np.ndarray,
    *,
    media: bool = False,
    missing: Sequence[str] = (),
    root: Path | None = None,
) -> Iterator[object]:
    """The present cells of these rows as a reader's `read` gets them, for fitting; not what the fence refuses."""
    fence = Fence(root)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[start : start + _ROWS_AT_ONCE]
        for cell, row in zip(table.cells(names, missing=missing, rows=part), part.tolist(), strict=True):
            if cell is None:
                continue
            try:
                yield fence.resolve(cell, table.folder(row)) if media else cell
            except CellError:
                continue
