"""Predictions as a file: CSV, Parquet or JSON Lines, whole or absent."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from motet.artifact import write_file
from motet.core.checks import text_of
from motet.core.errors import SpecError
from motet.data import read_table
from motet.serving.predictor import Predictor


def write_predictions(
    predictor: Predictor, data: Any, path: Path, *, root: str | Path | None = None, say: Callable[[str], object] = str
) -> int:
    """Answer `data` into `path`; how many rows that were. `say` hears of inputs the table lacks.

    Raises `SpecError` for a suffix it can not write.
    """
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise SpecError(
            f"{path}: predictions are written as {', '.join(_WRITERS)}, not as {path.suffix or 'a file without suffix'}"
        )
    rows = read_table(data)
    for sentence in predictor.unseen(rows.column_names):
        say(f"note: {sentence}")
    table: pa.Table = predictor.predict(rows, root=root)
    write_file(path, writer(table))
    return int(table.num_rows)


def csv_bytes(table: pa.Table) -> bytes:
    """A table of answers as CSV; lists are joined by "|"."""
    import csv

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows([_cell(value) for value in row.values()] for row in table.to_pylist())
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return "|".join(text_of(part) for part in value) if isinstance(value, list) else text_of(value)


def _parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())


def _jsonl(table: pa.Table) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist()).encode()


_WRITERS = {".csv": csv_bytes, ".parquet": _parquet, ".jsonl": _jsonl}
