"""Rows as Python values -> Arrow columns, and the JSON Lines files that hold such rows."""

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from motet.core.checks import text_of
from motet.core.errors import DataError


def arrow_of_rows(rows: Sequence[Mapping[str, Any]], name: str) -> pa.Table:
    """A list of dicts as a table; a key that a row lacks is absent there."""
    names = list(dict.fromkeys(key for row in rows for key in row))
    odd = next((key for key in names if not isinstance(key, str) or not key), None)
    if odd is not None:
        raise DataError(f"{name}: column names are text that is not empty, found {odd!r}")
    return pa.table({key: arrow_of_cells([row.get(key) for row in rows], f"{name}: column {key!r}") for key in names})


def arrow_of_cells(cells: Sequence[Any], where: str) -> pa.Array:
    """One column. Pictures become PNG bytes; plain values of several types become text, as if read from CSV.

    Errors: `DataError` with the row of the first cell that no column can hold.
    """
    try:
        return pa.array(cells, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        pass
    plain = [_plain(cell, f"{where}, row {number}") for number, cell in enumerate(cells, 1)]
    try:
        return pa.array(plain, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        pass
    for number, cell in enumerate(plain, 1):
        if not isinstance(cell, (str, int, float, np.generic, type(None))):
            raise DataError(f"{where}, row {number}: {type(cell).__name__} does not fit with the cells before it")
    return pa.array([None if cell is None or cell != cell else text_of(cell) for cell in plain], pa.string())


def jsonl_batches(path: Path, name: str) -> Iterator[pa.RecordBatch]:
    """The rows of a JSON Lines file, one object per line; numbers that overflow and doubled keys are errors."""
    table = arrow_of_rows(list(_json_rows(path, name)), name)
    if not table.num_rows:
        raise DataError(f"{name}: the file is empty")
    yield from table.to_batches(max_chunksize=65_536)


def _json_rows(path: Path, name: str) -> Iterator[dict[str, Any]]:
    empty_line = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                empty_line = empty_line or number
                continue
            if empty_line:
                raise DataError(f"{name}:{empty_line}: an empty line inside the table; remove it")
            try:
                row = json.loads(
                    line.decode("utf-8-sig" if number == 1 else "utf-8"),
                    object_pairs_hook=_object,
                    parse_float=_float,
                    parse_constant=_constant,
                )
            except UnicodeDecodeError as error:
                raise DataError(f"{name}:{number}: byte {error.start + 1} is not UTF-8; save it as UTF-8") from None
            except (ValueError, RecursionError) as error:
                raise DataError(f"{name}:{number}: not a JSON object on one line: {error}") from None
            if not isinstance(row, dict):
                raise DataError(f"{name}:{number}: expected an object {{...}}, found {type(row).__name__}")
            yield row


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} stands there twice")
    return found


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is too large for a number; write it as text")
    return value


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON; write null for an absent cell")


def _plain(cell: Any, where: str) -> Any:
    """What Arrow can hold of a Python value: paths as text, pictures as PNG bytes, arrays as nested lists."""
    if hasattr(cell, "__fspath__"):
        return str(cell)
    if isinstance(cell, list | tuple) and cell and all(map(_is_medium, cell)):
        return [_plain(part, where) for part in cell]
    if isinstance(cell, np.ndarray) and cell.ndim != 1:
        return cell.tolist()
    if isinstance(cell, tuple) and len(cell) == 2 and isinstance(cell[0], np.ndarray):
        return {"array": cell[0].tolist(), "sampling_rate": int(cell[1])}
    if _is_picture(cell):
        return _png(cell, where)
    return cell


def _is_medium(cell: Any) -> bool:
    """A path or a picture: what Arrow can not hold as it is, in a list of several either."""
    return cell is None or hasattr(cell, "__fspath__") or _is_picture(cell)


def _is_picture(cell: Any) -> bool:
    return hasattr(cell, "tobytes") and hasattr(cell, "save") and hasattr(cell, "mode")


def _png(picture: Any, where: str) -> bytes:
    buffer = io.BytesIO()
    try:
        if picture.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
            picture = picture.convert("RGB")
        picture.save(buffer, format="PNG")
    except Exception as error:
        raise DataError(f"{where}: a picture that can not be kept ({type(error).__name__})") from None
    return buffer.getvalue()
