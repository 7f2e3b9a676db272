"""Any source -> Table: files by their suffix, tables in memory by their shape.

A parsed file is remembered as Arrow IPC under the hash of its content and then memory-mapped, so that a table larger
than memory can be read and the next run does not parse again.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from motet.core.checks import did_you_mean
from motet.core.errors import DataError, SpecError
from motet.data.cache import forget, remember
from motet.data.concat import concat_tables
from motet.data.csv import csv_batches
from motet.data.memory import arrow_of_memory
from motet.data.rows import jsonl_batches
from motet.data.sources import IN_MEMORY, TableSpec, as_given, is_several, tables_of, without_training
from motet.data.table import Part, Table

_Batches = Callable[[Path, str], Iterable[pa.RecordBatch]]
_PARSER_VERSION = "1"  # part of the name of every remembered table: a change in parsing must miss


def read_table(source: object, *, name: str | None = None, folder: Path | None = None) -> Table:
    """Read a table: a path, a table in memory, a `TableSpec` or its mapping; or a list of such, one after the other.

    Files: .csv .tsv .tab .jsonl .ndjson .parquet .arrow .feather. In memory: pandas or polars DataFrame, pyarrow Table,
    Hugging Face Dataset, list of dicts. `name` is what errors call the table (default: the path as given); `folder` is
    where relative media paths start (default: the file's own folder, the current one for tables in memory).
    Errors: `DataError` with file and row; `SpecError` for a column to be renamed that is not there.

    >>> read_table([{"age": 3}, {"age": None}]).cells(("age",))
    [3, None]
    """
    if isinstance(source, Table):
        return source
    source = _given(source)
    if is_several(source):
        return concat_tables([read_table(one, folder=folder) for one in tables_of(source)])
    if isinstance(source, TableSpec):
        return as_described(read_table(source.table, name=name, folder=folder), source)
    if isinstance(source, (str, Path)):
        return _read_file(Path(source), name or str(source), folder)
    arrow = arrow_of_memory(source, name or IN_MEMORY)
    return Table(_checked(arrow, name or IN_MEMORY), (Part(name or IN_MEMORY, folder or Path.cwd(), arrow.num_rows),))


def read_held_out(source: object) -> Table:
    """A table to be answered or scored; `SpecError` also for a mapping that says what only training heeds."""
    try:
        return read_table(source if isinstance(source, Table) else without_training(as_given(source)))
    except ValueError as error:
        raise SpecError(f"{IN_MEMORY}: {error}") from None


def as_described(table: Table, given: TableSpec) -> Table:
    """The table with its columns renamed, and parts that know what was said of it.

    Errors: `SpecError` for a column that is not there, or a new name that another column has.
    """
    names, source = list(table.column_names), table.parts[0].name
    for own, new in given.rename.items():
        if own not in names:
            raise SpecError(f"{source}: no column {own!r} to be renamed to {new!r}{did_you_mean(own, names)}")
        if new in names and new not in given.rename:
            raise SpecError(f"{source}: {own!r} is to be renamed to {new!r}, but there is a column {new!r} already")
    arrow = table.arrow.rename_columns([given.rename.get(name, name) for name in names])
    return Table(arrow, tuple(replace(part, given=given) for part in table.parts))


def _given(source: object) -> Any:
    try:
        return as_given(source)
    except ValueError as error:
        raise SpecError(f"{IN_MEMORY}: {error}") from None


def _read_file(path: Path, name: str, folder: Path | None) -> Table:
    reader = _READERS.get(path.suffix.lower())
    if path.is_dir() or not path.exists():
        raise DataError(f"{name}: {'is a folder, not a table' if path.is_dir() else 'no such file' + _nearest(path)}")
    if reader is None:
        raise DataError(f"{name}: no table is read from {path.suffix or 'a file without suffix'}; use {_suffixes()}")
    try:
        digest = _digest(path)
        arrow = _checked(reader(path, name, digest), name)
    except OSError as error:
        raise DataError(f"{name}: the file can not be read: {error.strerror or error}") from None
    first_row = 2 if path.suffix.lower() in (".csv", ".tsv", ".tab") else 1
    return Table(arrow, (Part(name, folder or path.resolve().parent, arrow.num_rows, first_row, digest),))


def _remembered(batches: _Batches) -> Callable[[Path, str, str], pa.Table]:
    def read(path: Path, name: str, digest: str) -> pa.Table:
        def write(target: Path) -> None:
            rows = iter(batches(path, name))
            first = next(rows)
            with pa.OSFile(str(target), "wb") as file, pa.ipc.new_file(file, first.schema) as writer:
                writer.write_batch(first)
                for batch in rows:
                    writer.write_batch(batch)

        entry = remember("tables", f"{digest}.arrow", write)
        if entry is not None:
            try:
                return _mapped(entry)
            except (OSError, pa.ArrowInvalid):
                forget(entry)
        return pa.Table.from_batches(list(batches(path, name)))

    return read


def _mapped(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _parquet_batches(path: Path, name: str) -> Iterable[pa.RecordBatch]:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if not file.metadata.num_rows:
                raise DataError(f"{name}: the table has no rows")
            yield from file.iter_batches(batch_size=65_536)
    except pa.ArrowException as error:
        raise DataError(f"{name}: not a whole Parquet file ({_first_line(error)})") from None


def _read_arrow(path: Path, name: str, digest: str) -> pa.Table:
    try:
        try:
            table = _mapped(path)
        except pa.ArrowInvalid:
            table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
        table.validate(full=True)  # a table from a stranger: offsets outside its buffers would crash later
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name}: not a whole Arrow or Feather file ({_first_line(error)})") from None
    return table


def _checked(arrow: pa.Table, name: str) -> pa.Table:
    seen = arrow.column_names
    twice = sorted({column for column in seen if seen.count(column) > 1})
    if twice:
        raise DataError(f"{name}: {', '.join(map(repr, twice))} names more than one column; column names must differ")
    if not arrow.num_rows or not seen:
        raise DataError(f"{name}: the table has no {'rows' if seen else 'columns'}")
    return arrow


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(f"{_PARSER_VERSION} {path.suffix.lower()}".encode(), digest_size=16)
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; the folder {path.parent.name!r} does not exist either"
    tables = sorted(entry.name for entry in path.parent.iterdir() if entry.suffix.lower() in _READERS)
    return did_you_mean(path.name, tables) if tables else "; its folder holds no tables"


def _suffixes() -> str:
    return ", ".join(_READERS)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


_READERS: dict[str, Callable[[Path, str, str], Any]] = {
    ".csv": _remembered(csv_batches),
    ".tsv": _remembered(csv_batches),
    ".tab": _remembered(csv_batches),
    ".jsonl": _remembered(jsonl_batches),
    ".ndjson": _remembered(jsonl_batches),
    ".parquet": _remembered(_parquet_batches),
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
}
