"""The tables an experiment names -> one table and its split."""

from pathlib import Path
from typing import Any

from motet.core.checks import did_you_mean
from motet.core.errors import SpecError
from motet.data.concat import concat_tables
from motet.data.draws import check_sampling
from motet.data.read import as_described, read_table
from motet.data.sources import TableSpec, is_path, tables_of
from motet.data.spec import DataSpec
from motet.data.split import Splits, check_column, split_rows
from motet.data.table import Table


def load_data(spec: DataSpec, *, base: Path, seed: int) -> tuple[Table, Splits]:
    """Read every table of the spec, paths relative to `base`, and divide the rows of all of them.

    `seed` divides them where the spec has no `split_seed`.
    Tables in memory take `base` as the folder of their media. Errors: `DataError`, `SpecError` (see `split_rows`).
    """
    tables = _read(spec.train, "train", base)
    columns = [column for one in tables for column in [_split_column(one, spec.split)] * len(one.parts)]
    ranges, start = {}, sum(one.num_rows for one in tables)
    for part in ("valid", "test"):
        source = getattr(spec, part)
        if source is not None and not isinstance(source, float):
            found = _read(source, part, base)
            tables += found
            ranges[part] = range(start, start + sum(one.num_rows for one in found))
            start = ranges[part].stop
    table = concat_tables(tables)
    for name, column in (("split", spec.split), ("group", spec.group), ("id", spec.id), ("weight", spec.weight)):
        if column is not None:
            check_column(table, column, f"data.{name}")
    seed = seed if spec.split_seed is None else spec.split_seed
    splits = split_rows(
        spec, table, seed=seed, valid_rows=ranges.get("valid"), test_rows=ranges.get("test"), columns=columns
    )
    check_sampling(spec.sampling, table, splits.train)
    return table, splits


def _read(source: Any, part: str, base: Path) -> list[Table]:
    return [_read_one(one, base) for one in tables_of(source, part)]


def _read_one(given: TableSpec, base: Path) -> Table:
    if is_path(given.table):
        return as_described(read_table(base / given.table, name=str(given.table)), given)
    return as_described(read_table(given.table, name=f"<{given.name} in memory>", folder=base), given)


def _split_column(table: Table, default: str | None) -> str | None:
    """The column that divides the rows of this table: the one named for it, or the one of all where it has that."""
    given = table.parts[0].given
    if given is None or given.split is None:
        return default if default in table.column_names else None
    if given.own_split not in table.column_names:
        hint = did_you_mean(given.split, table.column_names)
        raise SpecError(f"data.train: {table.parts[0].name} has no column {given.split!r} to split by{hint}")
    return given.own_split
