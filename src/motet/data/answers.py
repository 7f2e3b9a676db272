"""Answers in files: what CSV and JSON Lines hold of bytes, lists and objects, and the way back."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from motet import media
from motet.core.checks import did_you_mean, text_of
from motet.core.errors import DataError, SpecError
from motet.data.read import read_table

Sort = Literal["text", "number", "bytes", "labels", "numbers", "objects"]
SEPARATOR = "|"


def as_json(answer: Any) -> Any:
    """The answer as JSON has it: bytes are data URIs, numbers that are not finite are null.

    >>> as_json([{"label": "cat", "box": [0.5, 1.0]}, b"fLaC"])
    [{'label': 'cat', 'box': [0.5, 1.0]}, 'data:audio/flac;base64,ZkxhQw==']
    """
    if isinstance(answer, bytes):
        return media.data_uri(answer)
    if isinstance(answer, list | tuple):
        return [as_json(part) for part in answer]
    if isinstance(answer, Mapping):
        return {name: as_json(part) for name, part in answer.items()}
    return None if isinstance(answer, float) and not math.isfinite(answer) else answer


def as_text(answer: Any) -> str:
    """The answer as a cell of a CSV file: empty where there is none, bytes as a data URI, text as it is.

    A list of plain parts is joined by "|", and is JSON where that could be read in another way: it is empty, or a part
    is empty or absent, has the "|" or outer spaces, or the whole begins like JSON. Other lists, and objects, are JSON.

    >>> as_text(["red", "blue"]), as_text(["a|b"]), as_text([]), as_text({"label": "cat"})
    ('red|blue', '["a|b"]', '[]', '{"label": "cat"}')
    """
    if answer is None:
        return ""
    if isinstance(answer, bytes):
        return media.data_uri(answer)
    if isinstance(answer, list | tuple) and (joined := _joined(answer)) is not None:
        return joined
    if isinstance(answer, list | tuple | Mapping):
        return json.dumps(as_json(answer), ensure_ascii=False)
    return text_of(answer)


def answer_of(cell: Any, sort: Sort) -> Any:
    """The answer that a cell of a predictions file holds, whatever the file's format; None where there is none.

    `sort` says what was answered, which the text of a CSV file does not: objects are dicts, alone or in a list.

    >>> answer_of("red|blue", "labels"), answer_of("1|2.5", "numbers"), answer_of("3", "number")
    (['red', 'blue'], [1.0, 2.5], 3.0)
    """
    if cell is None or sort == "text":
        return cell
    if sort == "number":
        return float(cell)
    if sort == "bytes":
        return media.uri_bytes(cell) if isinstance(cell, str) else cell
    if isinstance(cell, str):
        cell = json.loads(cell) if cell.startswith(("[", "{")) else cell.split(SEPARATOR)
    return [None if part is None else float(part) for part in cell] if sort == "numbers" else cell


def read_answers(path: Path | str, sorts: Mapping[str, Sort]) -> list[dict[str, Any]]:
    """The rows of a predictions file, CSV, JSON Lines or Parquet, with the answers of these columns as they were given;
    but an empty text and no answer are one in CSV, which becomes None.

    Errors: `DataError` for what is no table, and for a column that it lacks; `SpecError` for what is no sort of answer.
    """
    table = read_table(path)
    for name, sort in sorts.items():
        if name not in table.column_names:
            raise DataError(f"{path}: no column {name!r}{did_you_mean(name, table.column_names)}")
        if sort not in get_args(Sort):
            raise SpecError(f"{name}: no answers are of the sort {sort!r}{did_you_mean(str(sort), get_args(Sort))}")
    columns = {name: table.cells((name,)) for name in table.column_names}
    if Path(path).suffix.lower() not in (".csv", ".tsv", ".tab"):
        texts = [name for name in columns if sorts.get(name) == "text"]
        columns |= {name: table.arrow.column(name).to_pylist() for name in texts}
    found = {name: [answer_of(one, sorts[name]) if name in sorts else one for one in c] for name, c in columns.items()}
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def _joined(parts: list[Any] | tuple[Any, ...]) -> str | None:
    """The parts divided by the separator; None where that would not be read as it was written."""
    if not parts or not all(isinstance(part, str | int | float) for part in parts):
        return None
    texts = [text_of(part) for part in parts]
    unclear = any(not text or text != text.strip() or SEPARATOR in text for text in texts)
    return None if unclear or texts[0].startswith(("[", "{")) else SEPARATOR.join(texts)
