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


def split_rows(
    spec: DataSpec, table: Table, *, seed: int, valid_rows: range | None = None, test_rows: range | None = None
) -> Splits:
    """Divide the rows; the same seed and number of rows give the same division.

    `valid_rows` and `test_rows` came from tables of their own. The split column decides for the others; fractions then
    take test and validation rows from the training rows, each a fraction of these, at least one; where the spec names a
    group, a fraction of the groups, which stay whole.
    Errors: `DataError` for unknown words in the split column and for a training set that would be empty.
    """
    valid, test = _numbers(valid_rows), _numbers(test_rows)
    train = np.setdiff1d(np.arange(table.num_rows), np.concatenate([valid, test]))
    if spec.split is not None:
        parts = _by_column(table, spec.split, train)
        train = parts["train"]
        valid, test = _only_once("valid", valid, parts["valid"]), _only_once("test", test, parts["test"])
    fractions = {
        part: fraction
        for part, fraction, rows in (("test", spec.test, test), ("valid", spec.valid, valid))
        if not len(rows) and isinstance(fraction, float)
    }
    cut = _cut(table, spec.group, train, fractions, seed)
    return Splits(cut["train"], cut.get("valid", valid), cut.get("test", test))


def _by_column(table: Table, column: str, pool: np.ndarray) -> dict[str, np.ndarray]:
    check_column(table, column, "data.split")
    found: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
    for row, cell in zip(pool.tolist(), table.cells((column,), rows=pool), strict=True):
        part = SPLIT_WORDS.get(text_of(cell).strip().lower())
        if part is None:
            file, number = table.locate(row)
            what = "is empty" if cell is None else f"is {cell!r}"
            raise DataError(f"{file}:{number}:{column}: the split {what}; expected one of {', '.join(SPLIT_WORDS)}")
        found[part].append(row)
    return {part: np.array(rows, dtype=np.int64) for part, rows in found.items()}


def _only_once(part: str, from_table: np.ndarray, from_column: np.ndarray) -> np.ndarray:
    if len(from_table) and len(from_column):
        raise SpecError(f"data.{part}: the split column names {part} rows too; leave out one of them")
    return from_table if len(from_table) else from_column


def _cut(
    table: Table, group: str | None, pool: np.ndarray, fractions: Mapping[str, float], seed: int
) -> dict[str, np.ndarray]:
    """The rows of each part, rising; what no fraction takes is "train"."""
    units = units_of(table, group, pool)
    num_units = int(units.max()) + 1 if len(units) else 0
    shuffled = seeds.generator(seed, "split").permutation(num_units)
    cut, start = {}, 0
    for part, fraction in fractions.items():
        chosen = np.zeros(num_units, dtype=bool)
        stop = start + max(1, round(fraction * num_units))
        chosen[shuffled[start:stop]] = True
        cut[part], start = pool[chosen[units]], stop
    if start >= num_units:
        what = f"groups in column {group!r}" if group else "rows"
        held_out = f", {start} of them held out" if start else ""
        raise DataError(f"{_first_name(table)}: {num_units} {what}{held_out}: no rows are left for training")
    left = np.isin(units, shuffled[start:])
    return {**cut, "train": pool[left]}


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
