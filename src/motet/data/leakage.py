"""What the held-out rows already know from the training rows."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, UInt64

from motet.core.checks import text_of
from motet.core.errors import DataError
from motet.data.split import Splits
from motet.data.table import Table


def leakage(
    table: Table, splits: Splits, columns: Mapping[str, bool], group: str | None = None, root: Path | None = None
) -> list[str]:
    """One warning line per held-out part that repeats training rows; `columns` are those of the inputs, and whether
    they hold media: a path then is one from the folder of its table, or from `root`.

    Errors: `DataError` when a group stands on two sides of the split.
    """
    held_out = {name: rows for name, rows in (("valid", splits.valid), ("test", splits.test)) if len(rows)}
    if group is not None:
        _check_groups(table, splits, group)
    if not columns or not held_out:
        return []
    hashes, there = _row_hashes(table, columns, root)
    trained = splits.train[there[splits.train]]
    first_train, train_rows = _first_of_each(hashes[trained], trained)
    warnings = []
    for name, rows in held_out.items():
        repeated = rows[there[rows] & np.isin(hashes[rows], first_train)]
        if len(repeated):
            twin = train_rows[np.searchsorted(first_train, hashes[repeated[0]])]
            warnings.append(
                f"{len(repeated)} of {len(rows)} {name} rows have the same inputs as a training row, "
                f"e.g. {_place(table, repeated[0])} and {_place(table, twin)}"
            )
    return warnings


def groups_apart(table: Table, splits: Splits, column: str) -> list[str]:
    """One warning line per held-out part in which rows belong to groups of this column that training rows belong to."""
    trained = {text_of(cell) for cell in table.cells((column,), rows=splits.train) if cell is not None}
    warnings = []
    for name, rows in (("valid", splits.valid), ("test", splits.test)):
        cells = table.cells((column,), rows=rows)
        known = sum(cell is not None and text_of(cell) in trained for cell in cells)
        if known:
            warnings.append(
                f"{known} of {len(rows)} {name} rows are of a {column!r} that training rows are of too, so its rows "
                f"are compared without the others; set data.group: {column}"
            )
    return warnings


def _first_of_each(hashes: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    unique, first = np.unique(hashes, return_index=True)
    return unique, rows[first]


def _check_groups(table: Table, splits: Splits, group: str) -> None:
    seen: dict[str, tuple[str, int]] = {}
    for part, rows in (("train", splits.train), ("valid", splits.valid), ("test", splits.test)):
        for row, cell in zip(rows.tolist(), table.cells((group,), rows=rows), strict=True):
            if cell is None:
                continue
            where, first = seen.setdefault(text_of(cell), (part, row))
            if where != part:
                place = f"{_place(table, row)}:{table.own_name(row, group)}"
                raise DataError(
                    f"{place}: group {cell!r} is in {part} here and in {where} at {_place(table, first)}; "
                    "a group must be on one side of the split"
                )


def _row_hashes(
    table: Table, columns: Mapping[str, bool], root: Path | None
) -> tuple[UInt64[np.ndarray, "rows"], Bool[np.ndarray, "rows"]]:
    """A 64-bit hash per row over these columns: equal rows have equal hashes, others almost surely differ. And whether
    the row has any of them.
    """
    total, there = np.zeros(table.num_rows, dtype=np.uint64), np.zeros(table.num_rows, dtype=bool)
    for name, media in columns.items():
        column = table.arrow.column(name)
        if media and root is None and len({part.folder for part in table.parts}) > 1 and _is_text(column.type):
            column = _full_paths(column, table)
        codes = _codes(column)
        there |= codes > 0
        total = _mixed(total + np.uint64(0x9E3779B97F4A7C15) + codes)
    return total, there


def _full_paths(column: pa.ChunkedArray, table: Table) -> pa.ChunkedArray:
    folders = [part.folder for part in table.parts for _ in range(part.num_rows)]
    paths = zip(folders, column.to_pylist(), strict=True)
    full = [None if path is None else os.path.normpath(folder / path) for folder, path in paths]
    return pa.chunked_array([pa.array(full, pa.string())])


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _codes(column: pa.ChunkedArray) -> UInt64[np.ndarray, "rows"]:
    """A number per distinct cell of the column; absent is 0."""
    if pa.types.is_nested(column.type):
        column = pa.chunked_array([pa.array([None if c is None else repr(c) for c in column.to_pylist()], pa.string())])
    encoded = column.combine_chunks().dictionary_encode()
    arrays = encoded.chunks if isinstance(encoded, pa.ChunkedArray) else [encoded]
    assert len(arrays) == 1
    codes = np.asarray(arrays[0].indices.fill_null(-1), dtype=np.int64) + 1
    return codes.astype(np.uint64)


def _mixed(value: np.ndarray) -> UInt64[np.ndarray, "rows"]:
    """splitmix64, wrapping."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(value ^ (value >> np.uint64(31)))


def _place(table: Table, row: int) -> str:
    file, number = table.locate(int(row))
    return f"{file}:{number}"
