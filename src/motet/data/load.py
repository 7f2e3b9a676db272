"""The tables an experiment names -> one table and its split."""

from pathlib import Path

from motet.data.read import read_table
from motet.data.spec import DataSpec
from motet.data.split import Splits, check_column, split_rows
from motet.data.table import Table, concat_tables


def load_data(spec: DataSpec, *, base: Path, seed: int) -> tuple[Table, Splits]:
    """Read every table of the spec, paths relative to `base`, and divide the rows of all of them.

    Tables in memory take `base` as the folder of their media. Errors: `DataError`, `SpecError` (see `split_rows`).
    """
    train = _read(spec.train, "train", base)
    tables, ranges, start = [train], {}, train.num_rows
    for part in ("valid", "test"):
        source = getattr(spec, part)
        if source is not None and not isinstance(source, float):
            table = _read(source, part, base)
            tables.append(table)
            ranges[part] = range(start, start + table.num_rows)
            start += table.num_rows
    table = concat_tables(tables)
    for name, column in (("split", spec.split), ("group", spec.group), ("id", spec.id)):
        if column is not None:
            check_column(table, column, f"data.{name}")
    return table, split_rows(spec, table, seed=seed, valid_rows=ranges.get("valid"), test_rows=ranges.get("test"))


def _read(source: object, part: str, base: Path) -> Table:
    if isinstance(source, (list, tuple)) and source and all(isinstance(each, (str, Path)) for each in source):
        return concat_tables([_read(each, part, base) for each in source])
    if isinstance(source, (str, Path)):
        return read_table(base / source, name=str(source))
    return read_table(source, name=f"<{part} table in memory>", folder=base)
