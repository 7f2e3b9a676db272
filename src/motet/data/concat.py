"""Several tables -> one, whatever each has of its columns."""

from collections.abc import Sequence

import pyarrow as pa

from motet.core.checks import text_of
from motet.core.errors import DataError
from motet.data.table import Table


def concat_tables(tables: Sequence[Table]) -> Table:
    """The rows of several tables one after the other; a column that a table lacks is absent in its rows.

    A column that holds text in one table and numbers in another becomes text, as if both had been CSV; one that holds
    paths of media in one table and their bytes in another holds either.
    """
    if len(tables) == 1:
        return tables[0]
    arrows = _with_media_of_one_type([table.arrow for table in tables])
    try:
        arrow = pa.concat_tables(arrows, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        arrow = pa.concat_tables(_with_common_types(tables, arrows), promote_options="permissive")
    return Table(arrow, tuple(part for table in tables for part in table.parts))


def _with_media_of_one_type(arrows: list[pa.Table]) -> list[pa.Table]:
    """Where a column holds text here and bytes there, `{"bytes", "path"}`: Arrow would make bytes of the paths."""
    arrows = list(arrows)
    for name in dict.fromkeys(name for arrow in arrows for name in arrow.column_names):
        holders = [index for index, arrow in enumerate(arrows) if name in arrow.column_names]
        kinds = {index: arrows[index].schema.field(name).type for index in holders}
        if any(map(_is_text, kinds.values())) and any(map(_is_bytes, kinds.values())):
            for index, kind in kinds.items():
                field = "path" if _is_text(kind) else "bytes" if _is_bytes(kind) else None
                arrows[index] = arrows[index] if field is None else _wrapped(arrows[index], name, field)
    return arrows


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _wrapped(arrow: pa.Table, name: str, field: str) -> pa.Table:
    """The cells of a column as the one field of structs that there is, the other absent; chunk by chunk."""
    kinds = {"bytes": pa.binary(), "path": pa.string()}
    chunks = []
    for chunk in arrow.column(name).chunks:
        own = chunk.cast(kinds[field])
        arrays = [own if one == field else pa.nulls(len(own), kind) for one, kind in kinds.items()]
        chunks.append(pa.StructArray.from_arrays(arrays, names=list(kinds), mask=own.is_null()))
    cells = pa.chunked_array(chunks, pa.struct(list(kinds.items())))
    return arrow.set_column(arrow.column_names.index(name), name, cells)


def _with_common_types(tables: Sequence[Table], arrows: list[pa.Table]) -> list[pa.Table]:
    for name in dict.fromkeys(name for table in tables for name in table.column_names):
        holders = [index for index, arrow in enumerate(arrows) if name in arrow.column_names]
        try:
            pa.unify_schemas([pa.schema([arrows[i].schema.field(name)]) for i in holders], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            for i in holders:
                arrows[i] = _as_text(arrows[i], name, tables[i].parts[0].name)
    return arrows


def _as_text(arrow: pa.Table, name: str, source: str) -> pa.Table:
    cells = arrow.column(name).to_pylist()
    odd = next((cell for cell in cells if isinstance(cell, (list, dict, bytes))), None)
    if odd is not None:
        raise DataError(
            f"{source}: column {name!r} holds {type(odd).__name__}s here and something else in another table"
        )
    text = pa.array([None if cell is None else text_of(cell) for cell in cells], pa.string())
    return arrow.set_column(arrow.column_names.index(name), name, text)
