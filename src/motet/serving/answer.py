"""Collected outputs -> a table of answers, one row for each row that was asked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from motet import media
from motet.core.checks import text_of
from motet.core.errors import CellError
from motet.data import Table, cells_as_read
from motet.inputs.base import InputSpec, Preparation
from motet.model import Collected, answers
from motet.model.columns import input_place
from motet.model.infer import Size
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
) -> pa.Table:
    """The decoded answers for the collected rows of a table, after a first column that names the row."""
    rows = collected.rows.numpy()
    if id_column in table.column_names:
        names = {str(id_column): table.cells((str(id_column),), rows=rows)}
    else:
        names = {"row": [table.locate(row)[1] for row in rows.tolist()]}
    codecs = {name: codec for name, (_, codec) in tasks.items()}
    sizes = {
        name: _sizes(table, spec.reads[0], inputs[spec.reads[0]][0], rows, root)
        for name, (spec, _) in tasks.items()
        if isinstance(spec, PartTask) and spec.sized
    }
    columns = names | answers(codecs, collected.outputs, sizes=sizes)
    return pa.table({name: _arrow(values) for name, values in columns.items()})


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


def _arrow(values: list[Any]) -> pa.Array:
    """One type per column; labels of several types become text."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else text_of(value) for value in values])
