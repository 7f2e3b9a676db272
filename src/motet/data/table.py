"""A table: one Arrow table, memory-mapped where it comes from a file, that knows where each of its rows came from."""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from motet.core.checks import text_of
from motet.data.sources import TableSpec

EITHER = ("\0nested", "\0text")
"""The fields of a column that holds lists or objects in some tables and text in others; one is there in each cell."""


@dataclass(frozen=True)
class Part:
    """The rows of one source: its name as the user wrote it, and the folder its relative media paths start from.

    `first_row` is what a person who opens the file calls the first data row: 2 below a CSV header, else 1.
    `digest` identifies the file's content; "" for a table that was in memory. `given` is what else was said of it.
    `columns` are those it had before it was joined to others; None while it stands alone.
    """

    name: str
    folder: Path
    num_rows: int
    first_row: int = 1
    digest: str = ""
    given: TableSpec | None = None
    columns: frozenset[str] | None = None

    @property
    def table(self) -> str:
        """What the experiment calls the table these rows belong to."""
        return (self.given and self.given.name) or self.name

    @property
    def told(self) -> str:
        """What its rows hold, in one line."""
        renamed = self.given.rename if self.given else {}
        return " ".join([self.digest, str(self.num_rows), *(f"{own!r} {name!r}" for own, name in renamed.items())])


@dataclass(frozen=True)
class Table:
    """Rows and named columns, and where they came from. Row numbers run from 0 over all parts."""

    arrow: pa.Table
    parts: tuple[Part, ...]

    @property
    def num_rows(self) -> int:
        """How many rows there are over all parts."""
        return int(self.arrow.num_rows)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns, in the order of the file."""
        return tuple(self.arrow.column_names)

    def locate(self, row: int) -> tuple[str, int]:
        """The file a row stands in, and its number there as a person who opens the file counts."""
        part, number = self.place(row)
        return part.name, number

    def place(self, row: int) -> tuple[Part, int]:
        """The same with all that is known of the file."""
        part, within = self._part_of(row)
        return part, within + part.first_row

    def own_name(self, row: int, column: str) -> str:
        """What the file of this row calls a column that was renamed."""
        given = self._part_of(row)[0].given
        renamed = {} if given is None else {name: own for own, name in given.rename.items()}
        return renamed.get(column, column)

    def by_part(self, rows: np.ndarray) -> list[np.ndarray]:
        """The places, among these rows, of those of each part."""
        part_of = np.searchsorted(self._starts, rows, side="right") - 1
        return [np.flatnonzero(part_of == index) for index in range(len(self.parts))]

    def by_table(self, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """The places, among these rows (None: all), of those of each table that has any, by its name."""
        places = self.by_part(np.arange(self.num_rows) if rows is None else rows)
        found: dict[str, list[np.ndarray]] = {}
        for part, own in zip(self.parts, places, strict=True):
            found.setdefault(part.table, []).append(own)
        joined = {name: np.sort(np.concatenate(parts)) for name, parts in found.items()}
        return {name: own for name, own in joined.items() if len(own)}

    def columns_of(self, rows: np.ndarray) -> tuple[str, ...]:
        """The columns that a table of any of these rows has."""
        parts = [part for part, own in zip(self.parts, self.by_part(rows), strict=True) if len(own)]
        return tuple(
            name for name in self.column_names if any(part.columns is None or name in part.columns for part in parts)
        )

    def lacks(self, names: Sequence[str], rows: np.ndarray) -> np.ndarray:
        """Whether the table of each of these rows was without one of the columns."""
        lacking = [part.columns is not None and not part.columns.issuperset(names) for part in self.parts]
        return np.array(lacking, dtype=bool)[np.searchsorted(self._starts, rows, side="right") - 1]

    def folder(self, row: int) -> Path:
        """The folder that relative media paths of this row start from."""
        return self._part_of(row)[0].folder

    def cells(
        self, names: Sequence[str], *, missing: Sequence[str] = (), rows: np.ndarray | None = None
    ) -> list[object | None]:
        """The cells of one column, or lists with one cell per column where there are several names.

        A cell is None when it is absent: empty, null, NaN, or spelt as in `missing`. Of several columns the whole is
        absent when all of them are; when only some are, the list holds None in their place, and the reader decides.
        """
        spellings = frozenset(missing)
        columns = [[present_or_none(cell, spellings) for cell in self._plain(name, rows)] for name in names]
        if len(columns) == 1:
            return columns[0]
        return [None if all(cell is None for cell in cells) else list(cells) for cells in zip(*columns, strict=True)]

    @cached_property
    def content_hash(self) -> str:
        """A hash of everything the table holds."""
        digest = hashlib.blake2b(digest_size=16)
        if all(part.digest for part in self.parts):
            digest.update("\n".join(part.told for part in self.parts).encode())
        else:
            sink = pa.PythonFile(_HashingFile(digest), mode="w")
            with pa.ipc.new_stream(sink, self.arrow.schema) as writer:
                writer.write_table(self.arrow)
        return digest.hexdigest()

    def _part_of(self, row: int) -> tuple[Part, int]:
        assert 0 <= row < self.num_rows, (row, self.num_rows)
        index = bisect_right(self._starts, row) - 1
        return self.parts[index], row - self._starts[index]

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(part.num_rows for part in self.parts)][:-1]

    def _plain(self, name: str, rows: np.ndarray | None) -> list[Any]:
        """Python values of a column."""
        column = self.arrow.column(name)
        if pa.types.is_struct(column.type) and [field.name for field in column.type] == list(EITHER):
            return [_whichever(cell) for cell in _values(column, rows)]
        return _values(column, rows)


def _values(column: pa.ChunkedArray, rows: np.ndarray | None) -> list[Any]:
    """Python values of a column; `rows` are gathered chunk by chunk, for Arrow would first join all chunks."""
    if rows is None:
        return [cell for chunk in column.chunks for cell in chunk.to_pylist()]
    starts = np.cumsum([0, *(len(chunk) for chunk in column.chunks)])
    chunk_of = np.searchsorted(starts, rows, side="right") - 1
    cells: list[Any] = [None] * len(rows)
    for index in np.unique(chunk_of):
        places = np.flatnonzero(chunk_of == index)
        values = column.chunk(int(index)).take(pa.array(rows[places] - starts[index])).to_pylist()
        for place, value in zip(places.tolist(), values, strict=True):
            cells[place] = value
    return cells


def _whichever(cell: dict[str, Any] | None) -> Any:
    """The field that is there."""
    return None if cell is None else next((value for value in cell.values() if value is not None), None)


def present_or_none(cell: Any, missing: frozenset[str]) -> Any:
    """The cell, or None where it is absent: empty, null, NaN, or spelt as in `missing`."""
    if cell is None or cell == "" or cell != cell:
        return None
    if isinstance(cell, dict) and all(value is None for value in cell.values()):
        return None
    if missing and not isinstance(cell, (list, dict, bytes)) and text_of(cell) in missing:
        return None
    return cell


class _HashingFile:
    """A file that only hashes what is written to it."""

    closed = False

    def __init__(self, digest: Any) -> None:
        self._digest = digest
        self._written = 0

    def write(self, data: Any) -> int:
        self._digest.update(data)
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        return None

    def close(self) -> None:
        self.closed = True
