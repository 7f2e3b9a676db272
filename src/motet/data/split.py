"""Which rows train, validate and test: by fraction, by a column, by whole groups, or by tables of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from motet.core import seed as seeds
from motet.core.checks import did_you_mean, text_of
from motet.core.errors import DataError, SpecError
from motet.data.spec import DataSpec
from motet.data.table import Table

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
}


@dataclass(frozen=True)
class Splits:
    """Row numbers of the whole table, rising; no row is in two of them."""

    train: Int64[np.ndarray, "train"]
    valid: Int64[np.ndarray, "valid"]
    test: Int64[np.ndarray, "test"]

    @property
    def rows(self) -> Int64[np.ndarray, "rows"]:
        """All of them, rising."""
        return np.sort(np.concatenate([self.train, self.valid, self.test]))


def split_rows(
    spec: DataSpec,
    table: Table,
    *,
    seed: int,
    valid_rows: range | None = None,
    test_rows: range | None = None,
    columns: Sequence[str | None] | None = None,
) -> Splits:
    """Divide the rows; the same seed and number of rows give the same division.

    `valid_rows` and `test_rows` came from tables of their own. The split column decides for the others, `columns` that
    of each part of the table, None where it has none (left out: `data.split` everywhere). Fractions then take test and
    validation rows from the training rows of each table that its column gave none, each a fraction of these, at least
    one; where the spec names a group, a fraction of the groups, which stay whole, each counted in the table in which it
    comes first.
    Errors: `DataError` for unknown words in the split column and for a training set that would be empty.
    """
    valid, test = _numbers(valid_rows), _numbers(test_rows)
    pool = np.setdiff1d(np.arange(table.num_rows), np.concatenate([valid, test]))
    parts = _by_column(table, pool, [spec.split] * len(table.parts) if columns is None else columns)
    train = parts["train"]
    fractions = {
        name: {
            part: fraction
            for part, fraction, rows in (("test", spec.test, test), ("valid", spec.valid, valid))
            if isinstance(fraction, float) and not len(rows) and not len(np.intersect1d(parts[part], pool[places]))
        }
        for name, places in table.by_table(pool).items()
    }
    valid, test = _only_once("valid", valid, parts["valid"]), _only_once("test", test, parts["test"])
    cut = _cut(table, spec.group, train, fractions, seed)
    return Splits(cut["train"], np.union1d(valid, cut["valid"]), np.union1d(test, cut["test"]))


def _by_column(table: Table, pool: np.ndarray, columns: Sequence[str | None]) -> dict[str, np.ndarray]:
    """The rows of each part, as the split columns of the table's own parts say; those of one without are "train"."""
    found: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
    start = 0
    for source, column in zip(table.parts, columns, strict=False):
        rows = pool[(pool >= start) & (pool < start + source.num_rows)]
        start += source.num_rows
        for row, part in zip(rows.tolist(), _words(table, column, rows), strict=True):
            found[part].append(row)
    return {part: np.array(rows, dtype=np.int64) for part, rows in found.items()}


def _words(table: Table, column: str | None, rows: np.ndarray) -> list[str]:
    """What the split column says of each of these rows: train, valid or test."""
    if column is None:
        return ["train"] * len(rows)
    check_column(table, column, "data.split")
    words = []
    for row, cell in zip(rows.tolist(), table.cells((column,), rows=rows), strict=True):
        part = SPLIT_WORDS.get(text_of(cell).strip().lower())
        if part is None:
            file, number = table.locate(row)
            what = "is empty" if cell is None else f"is {cell!r}"
            place = f"{file}:{number}:{table.own_name(row, column)}"
            raise DataError(f"{place}: the split {what}; expected one of {', '.join(SPLIT_WORDS)}")
        words.append(part)
    return words


def _only_once(part: str, from_table: np.ndarray, from_column: np.ndarray) -> np.ndarray:
    if len(from_table) and len(from_column):
        raise SpecError(f"data.{part}: the split column names {part} rows too; leave out one of them")
    return from_table if len(from_table) else from_column


def _cut(
    table: Table, group: str | None, pool: np.ndarray, fractions: Mapping[str, Mapping[str, float]], seed: int
) -> dict[str, np.ndarray]:
    """The rows of each part, rising; what no fraction of a table takes is "train"."""
    units = units_of(table, group, pool)
    first = pool[np.unique(units, return_index=True)[1]]
    tables = table.by_table(first)
    part_of = np.full(len(first), "train")
    for name, own in tables.items():
        key = ("split",) if len(fractions) == 1 else ("split", name)
        shuffled, start = own[seeds.generator(seed, *key).permutation(len(own))], 0
        for part, fraction in fractions[name].items():
            stop = start + max(1, round(fraction * len(own)))
            part_of[shuffled[start:stop]] = part
            start = stop
        if start >= len(own):
            raise _nothing_left(table, first[own[0]], group, len(own), start)
    if not len(pool):
        raise _nothing_left(table, 0, group, 0, 0)
    return {part: pool[part_of[units] == part] for part in ("train", "valid", "test")}


def _nothing_left(table: Table, row: int, group: str | None, num_units: int, held_out: int) -> DataError:
    what = f"groups in column {group!r}" if group else "rows"
    held = f", {held_out} of them held out" if held_out else ""
    return DataError(
        f"{table.locate(row)[0]}: {num_units} {what}{held}: no rows are left for training; name the parts in a split "
        "column, or held-out tables by data.valid"
    )


def units_of(table: Table, group: str | None, pool: np.ndarray) -> np.ndarray:
    """For each row of `pool` the number of its group, by first appearance; a row without a group is one by itself."""
    if group is None:
        return np.arange(len(pool))
    check_column(table, group, "data.group")
    numbers: dict[object, int] = {}
    cells = table.cells((group,), rows=pool)
    keys = [("row", at) if cell is None else text_of(cell) for at, cell in enumerate(cells)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def check_column(table: Table, column: str, where: str) -> None:
    """Refuse a column the table does not have, naming the nearest."""
    if column not in table.column_names:
        raise SpecError(
            f"{where}: {_first_name(table)} has no column {column!r}{did_you_mean(column, table.column_names)}"
        )


def _numbers(rows: Sequence[int] | None) -> np.ndarray:
    return np.array(list(rows or ()), dtype=np.int64)


def _first_name(table: Table) -> str:
    return table.parts[0].name
