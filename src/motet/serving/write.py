"""Predictions as a file: CSV, Parquet or JSON Lines, whole or absent."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from motet.artifact import write_file
from motet.core.errors import SpecError
from motet.data import as_json, as_text, read_held_out
from motet.serving.predictor import Predictor


def write_predictions(
    predictor: Predictor,
    data: Any,
    path: Path,
    *,
    root: str | Path | None = None,
    explain: bool = False,
    say: Callable[[str], object] = str,
) -> int:
    """Answer `data` into `path`; how many rows that were. `say` hears of inputs the table lacks.

    Raises `SpecError` for a suffix it can not write.
    """
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise SpecError(
            f"{path}: predictions are written as {', '.join(_WRITERS)}, not as {path.suffix or 'a file without suffix'}"
        )
    rows = read_held_out(data)
    for sentence in predictor.unseen(rows.column_names):
        say(f"note: {sentence}")
    table: pa.Table = predictor.predict(rows, root=root, explain=explain)
    write_file(path, writer(table))
    return int(table.num_rows)


def csv_bytes(table: pa.Table) -> bytes:
    """A table of answers as CSV (see `motet.data.as_text`)."""
    rows = [table.column_names, *([as_text(answer) for answer in row.values()] for row in table.to_pylist())]
    return "".join(",".join(map(_quoted, row)) + "\n" for row in rows).encode(errors="replace")


def _quoted(cell: str) -> str:
    """Text with its NUL characters, which no CSV holds, replaced; a lone carriage return would end a row unquoted."""
    cell = cell.replace("\0", "\ufffd")
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\r\n') else cell


def _parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())


def _jsonl(table: pa.Table) -> bytes:
    """A table of answers as JSON Lines (see `motet.data.as_json`)."""
    return "".join(json.dumps(as_json(row), ensure_ascii=False) + "\n" for row in table.to_pylist()).encode()


_WRITERS = {".csv": csv_bytes, ".parquet": _parquet, ".jsonl": _jsonl}
