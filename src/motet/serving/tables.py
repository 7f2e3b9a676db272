"""Answers as the same kind of table as was asked with."""

from pathlib import Path
from typing import Any

import pyarrow as pa


def like(rows: Any, table: pa.Table, *, row_by_row: bool = True) -> Any:
    """DataFrame for DataFrame, list of dicts for list of dicts; an Arrow table for that, a path and whatever else.

    Where there is a row of the answer for each that was asked, a pandas DataFrame keeps its index.

    >>> like([{"age": 3}], pa.table({"row": [1]}))
    [{'row': 1}]
    """
    if isinstance(rows, str | Path | pa.Table):
        return table
    if isinstance(rows, list):
        return table.to_pylist()
    module = type(rows).__module__.split(".")[0]
    if module == "pandas":
        return _frame(rows, table, row_by_row=row_by_row)
    if module == "polars":
        import polars

        return polars.from_arrow(table)
    if module == "datasets":
        import datasets

        return datasets.Dataset(table)
    return table


def _frame(rows: Any, table: pa.Table, *, row_by_row: bool) -> Any:
    import pandas

    frame = table.to_pandas()
    for field in table.schema:
        if pa.types.is_nested(field.type):  # lists and dicts as they are, not arrays of arrays
            frame[field.name] = pandas.Series(table.column(field.name).to_pylist(), dtype=object)
    if row_by_row:
        frame.index = rows.index
    return frame
