"""Several tables -> one, whatever each has of its columns."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from motet.core.checks import text_of
from motet.core.errors import DataError
from motet.data.table import EITHER, Part, Table

MEDIUM = {"bytes": pa.binary(), "path": pa.string()}


def concat_tables(tables: Sequence[Table]) -> Table:
    """The rows of several tables one after the other; a column that a table lacks is absent in its rows.

    A column that holds text in one table and numbers in another becomes text, as if both had been CSV. One that holds
    lists or objects in one table and text in another holds either, and so does one with paths of media and their bytes.
    """
    if len(tables) == 1:
        return tables[0]
    arrows = _with_media_of_one_type([table.arrow for table in tables])
    try:
        arrow = pa.concat_tables(arrows, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        arrow = pa.concat_tables(_with_common_types(tables, arrows), promote_options="permissive")
    return Table(arrow, tuple(_with_columns(part, table) for table in tables for part in table.parts))


def _with_columns(part: Part, table: Table) -> Part:
    return replace(part, columns=frozenset(table.column_names)) if part.columns is None else part


def _with_media_of_one_type(arrows: list[pa.Table]) -> list[pa.Table]:
    """Where a column holds text here and bytes there, `{"bytes", "path"}`: Arrow would make bytes of the paths."""
    arrows = list(arrows)
    for name in dict.fromkeys(name for arrow in arrows for name in arrow.column_names):
        holders = [index for index, arrow in enumerate(arrows) if name in arrow.column_names]
        kinds = {index: arrows[index].schema.field(name).type for index in holders}
        if any(map(_is_text, kinds.values())) and any(map(_is_bytes, kinds.values())):
            for index, kind in kinds.items():
                field = "path" if _is_text(kind) else "bytes" if _is_bytes(kind) else None
                if field is not None:
                    cells = _in_field(arrows[index].column(name), field, MEDIUM)
                    arrows[index] = arrows[index].set_column(arrows[index].column_names.index(name), name, cells)
    return arrows


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _with_common_types(tables: Sequence[Table], arrows: list[pa.Table]) -> list[pa.Table]:
    for name in dict.fromkeys(name for table in tables for name in table.column_names):
        holders = [index for index, arrow in enumerate(arrows) if name in arrow.column_names]
        kinds = {index: arrows[index].schema.field(name).type for index in holders}
        if not _joins([arrows[index].select([name]) for index in holders]):
            nested = _unified([kind for kind in kinds.values() if pa.types.is_nested(kind)])
            for i in holders:
                made = _as_text if nested is None else _beside_text
                arrows[i] = made(arrows[i], name, tables[i].parts[0].name, nested)
    return arrows


def _joins(columns: Sequence[pa.Table]) -> bool:
    """Whether one type holds all cells: Arrow refuses whole numbers that a float does not hold exactly."""
    try:
        pa.concat_tables(columns, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return False
    return True


def _unified(kinds: Iterable[pa.DataType]) -> pa.DataType | None:
    """The type that holds all of these; None where there is none."""
    try:
        schema = pa.unify_schemas([pa.schema([("x", kind)]) for kind in kinds], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None
    return schema.field("x").type if len(schema) else None


def _beside_text(arrow: pa.Table, name: str, source: str, nested: pa.DataType) -> pa.Table:
    """Lists or objects as one field of structs, text as the other; `Table.cells` gives whichever is there."""
    column, kinds = arrow.column(name), dict(zip(EITHER, (nested, pa.string()), strict=True))
    if not pa.types.is_nested(column.type):
        column = _as_text(arrow, name, source, None).column(name)
    field = EITHER[0] if pa.types.is_nested(column.type) else EITHER[1]
    try:
        cells = _in_field(column, field, kinds)
    except pa.ArrowException:
        raise DataError(f"{source}: column {name!r} holds lists or objects of another form than other tables") from None
    return arrow.set_column(arrow.column_names.index(name), name, cells)


def _as_text(arrow: pa.Table, name: str, source: str, nested: pa.DataType | None) -> pa.Table:
    cells = arrow.column(name).to_pylist()
    odd = next((cell for cell in cells if isinstance(cell, (list, dict, bytes))), None)
    if odd is not None:
        what = {"list": "lists", "dict": "objects", "bytes": "bytes"}[type(odd).__name__]
        raise DataError(f"{source}: column {name!r} holds {what} here and something else in another table")
    text = pa.array([None if cell is None else text_of(cell) for cell in cells], pa.string())
    return arrow.set_column(arrow.column_names.index(name), name, text)


def _in_field(column: pa.ChunkedArray, field: str, kinds: Mapping[str, pa.DataType]) -> pa.ChunkedArray:
    """The cells as one field of structs that have these fields, the others absent; chunk by chunk."""
    chunks = []
    for chunk in column.chunks:
        own = chunk.cast(kinds[field])
        arrays = [own if one == field else pa.nulls(len(own), kind) for one, kind in kinds.items()]
        chunks.append(pa.StructArray.from_arrays(arrays, names=list(kinds), mask=own.is_null()))
    return pa.chunked_array(chunks, pa.struct(list(kinds.items())))
