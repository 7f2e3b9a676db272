"""Tables in memory -> Arrow, told apart by what they can do, so that none of their libraries is imported."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from motet.core.errors import DataError
from motet.data.rows import arrow_of_cells, arrow_of_rows


def arrow_of_memory(source: Any, name: str) -> pa.Table:
    """The Arrow table of a pandas or polars DataFrame, a pyarrow Table, a Hugging Face Dataset or a list of dicts."""
    if isinstance(source, pa.Table):
        return source
    if isinstance(source, Sequence) and not isinstance(source, (str, bytes)):
        return arrow_of_rows(source, name)
    if hasattr(source, "with_format") and hasattr(source, "features"):
        return _arrow_of_dataset(source, name)
    if hasattr(source, "iloc") and hasattr(source, "columns"):
        return _arrow_of_pandas(source, name)
    if hasattr(source, "to_arrow"):
        table = source.to_arrow()
        return table if isinstance(table, pa.Table) else pa.table(table)
    hint = "; choose one of its splits" if isinstance(source, Mapping) else ""
    raise DataError(
        f"{name}: expected a path, a DataFrame, an Arrow table, a Hugging Face Dataset or a list of dicts, "
        f"found {type(source).__name__}{hint}"
    )


def _arrow_of_dataset(dataset: Any, name: str) -> pa.Table:
    table = dataset.with_format("arrow")[:]
    if not isinstance(table, pa.Table):
        raise DataError(f"{name}: a streamed dataset has no rows to count; load it without streaming")
    return table


def _arrow_of_pandas(frame: Any, name: str) -> pa.Table:
    """Column by column; the index is left out, and NaN is an absent cell."""
    names = [str(column) for column in frame.columns]
    twice = [column for column, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(f"{name}: {', '.join(map(repr, twice))} names more than one column; column names must differ")
    columns = {}
    for position, column in enumerate(names):
        series, where = frame.iloc[:, position], f"{name}: column {column!r}"
        if series.dtype == object:
            columns[column] = arrow_of_cells(series.tolist(), where)
        else:
            found = pa.Array.from_pandas(series)
            columns[column] = found.dictionary_decode() if pa.types.is_dictionary(found.type) else found
    return pa.table(columns)
