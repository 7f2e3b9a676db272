"""Collected outputs -> a table of answers, one row for each row that was asked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from motet import media
from motet.core.errors import CellError
from motet.data import Table, cells_as_read
from motet.inputs.base import InputSpec, Preparation
from motet.model import Collected, answers
from motet.model.columns import input_place
from motet.model.infer import Size
from motet.serving.arrow import arrow_of
from motet.tasks.base import Codec, TaskSpec
from motet.tasks.part import PartTask


def answer_table(
    table: Table,
    collected: Collected,
    *,
    tasks: Mapping[str, tuple[TaskSpec, Codec]],
    inputs: Mapping[str, tuple[InputSpec, Preparation]],
    id_column: str | None,
    root: Path | None,
    contributions: Mapping[str, Mapping[str, np.ndarray]] = {},
) -> pa.Table:
    """The decoded answers for the collected rows of a table, after a first column that names the row.

    `contributions`, by task and input, NaN for none, follow the other columns of their task.
    """
    rows = collected.rows.numpy()
    codecs = {name: codec for name, (_, codec) in tasks.items()}
    sizes = {
        name: _sizes(table, spec.reads[0], inputs[spec.reads[0]][0], rows, root)
        for name, (spec, _) in tasks.items()
        if isinstance(spec, PartTask) and spec.sized
    }
    columns = {name: arrow_of(values) for name, values in row_names(table, rows, id_column).items()}
    for task, codec in codecs.items():
        said = answers({task: codec}, collected.outputs, sizes=sizes)
        columns |= {name: arrow_of(values) for name, values in said.items()}
        for name, shares in contributions.get(task, {}).items():
            columns[f"{task}__contribution_{name}"] = pa.array(shares, pa.float64(), from_pandas=True)
    return pa.table(columns)


def row_names(table: Table, rows: np.ndarray, id_column: str | None) -> dict[str, list[Any]]:
    """The first column: the ids, or the row's number as a person who opens the file counts, of several tables after the
    name of its table, or of its file where one table has several. There a table may have no ids.
    """
    files: dict[str, set[str]] = {}
    for part in table.parts:
        files.setdefault(part.table, set()).add(part.name)
    several, numbers = len(table.parts) > 1, []
    for row in rows.tolist():
        part, number = table.place(row)
        name = part.table if len(files[part.table]) == 1 else part.name
        numbers.append(f"{name}:{number}" if several else number)
    if id_column is None or id_column not in table.column_names:
        return {"row": numbers}
    ids = table.cells((id_column,), rows=rows)
    return {id_column: [number if one is None and several else one for one, number in zip(ids, numbers, strict=True)]}


def _sizes(table: Table, name: str, spec: InputSpec, rows: np.ndarray, root: Path | None) -> list[Size | None]:
    """Height and width of each row's picture as it is in its file; None where there is none."""
    place = input_place(name, spec)
    if not set(place.names) <= set(table.column_names):
        return [None] * len(rows)
    return [_size(cell) for cell in cells_as_read(table, place, rows, root=root)]


def _size(cell: object | None) -> Size | None:
    try:
        return None if cell is None else media.image_size(cell)[:2]
    except (CellError, OSError):
        return None
