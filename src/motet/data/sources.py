"""How tables are given: a path, a table in memory, or a mapping that says more of one; alone or in a list."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, TypeGuard

from pydantic import Field, ValidationError, field_validator

from motet.core.checks import did_you_mean
from motet.core.component import Frozen

IN_MEMORY = "<table in memory>"
SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather")


class TableSpec(Frozen):
    """One table among several, where more is to be said than its path.

    >>> TableSpec(table="gum.csv", rename={"tokens": "words"}).weight
    1.0
    """

    table: Any = Field(description="A path, relative to the experiment; from Python a table in memory will do.")
    name: str | None = Field(
        default=None,
        min_length=1,
        description="What `sampling`, the log and the report call it; tables of one name count as one. Left out: the "
        "name of its file.",
    )
    rename: dict[str, str] = Field(
        default={}, description="Columns that the experiment calls otherwise: its own name, and the experiment's."
    )
    weight: float = Field(
        default=1.0,
        gt=0,
        description="How much each of its rows counts in the losses, beside rows of other tables with the same task; "
        "how much a task counts is said by its own `weight`.",
    )
    split: str | None = Field(
        default=None, description="Its own column that says train, valid or test, in place of data.split."
    )

    @field_validator("table")
    @classmethod
    def _of_one(cls, table: Any) -> Any:
        if is_several(table):
            raise ValueError("expected one table, found a list; give each a mapping of its own, with one `name`")
        return table

    @field_validator("rename")
    @classmethod
    def _one_to_one(cls, rename: dict[str, str]) -> dict[str, str]:
        twice = next((name for name, times in Counter(rename.values()).items() if times > 1), None)
        if twice is not None:
            both = " and ".join(repr(own) for own, name in rename.items() if name == twice)
            raise ValueError(f"{both} are both renamed to {twice!r}; a column has one name")
        return rename

    @property
    def own_split(self) -> str | None:
        """The split column by the name it has after renaming."""
        return None if self.split is None else self.rename.get(self.split, self.split)


def as_given(source: Any) -> Any:
    """The same, with every mapping that describes a table as a `TableSpec`; raises `ValueError` in plain words."""
    if _describes(source):
        return _spec(source, "")
    if is_several(source):
        return [_spec(one, f"table {n}: ") if isinstance(one, Mapping) else one for n, one in enumerate(source, 1)]
    return source


def without_training(given: Any) -> Any:
    """The same; raises `ValueError` for a mapping that says what only training heeds."""
    for one in given if is_several(given) else [given]:
        for field in ("weight", "split") if isinstance(one, TableSpec) else ():
            if getattr(one, field) != TableSpec.model_fields[field].default:
                raise ValueError(f"a table of held-out rows takes no `{field}`: none of its rows is trained on")
    return given


def is_several(source: object) -> bool:
    """Whether this is a list of tables, rather than one, which a list of dicts can be."""
    return isinstance(source, list | tuple) and any(not isinstance(one, Mapping) or _describes(one) for one in source)


def tables_of(source: Any, part: str = "") -> tuple[TableSpec, ...]:
    """One table or several, each with a name: its file's, with so many folders before it as tell it from the others.

    >>> [one.name for one in tables_of(["gum/train.csv", {"table": "meld/train.csv"}, [{"x": 1}]])]
    ['gum/train', 'meld/train', 'table 3']
    """
    given = as_given(source)
    given = given if is_several(given) else [given]
    tables = [one if isinstance(one, TableSpec) else TableSpec(table=one) for one in given]
    names = _names(tables, f"{part} table".strip())
    return tuple(one.model_copy(update={"name": name}) for one, name in zip(tables, names, strict=True))


def _names(tables: Sequence[TableSpec], in_memory: str) -> list[str]:
    """The given names, and for the others so much of their paths, from the end, as tells them apart."""
    taken = {one.name for one in tables}
    numbers = [f"{in_memory} {n}" if len(tables) > 1 else in_memory for n in range(1, len(tables) + 1)]
    places = [_parts(one.table, number) for one, number in zip(tables, numbers, strict=True)]
    files = {(place, os.fspath(one.table)) for one, place in zip(tables, places, strict=True) if is_path(one.table)}
    of_one_stem = Counter(place for place, _ in files)
    places = [
        (*place[:-1], PurePath(one.table).name) if of_one_stem[place] > 1 and is_path(one.table) else place
        for one, place in zip(tables, places, strict=True)
    ]
    own = {place for one, place in zip(tables, places, strict=True) if one.name is None}
    depth = next(
        (
            depth
            for depth in range(1, max(map(len, places)))
            if len(tails := {"/".join(place[-depth:]) for place in own}) == len(own) and not tails & taken
        ),
        0,  # all of it
    )
    return [one.name or "/".join(place[-depth:]) for one, place in zip(tables, places, strict=True)]


def absolute_paths(source: Any, part: str, base: Path) -> Any:
    """The same by full paths, and every table of several by its name, so that it means the same wherever it is read."""
    given = as_given(source)
    if isinstance(given, TableSpec) or is_several(given):
        tables = [one.model_copy(update={"table": _full(one.table, base)}) for one in tables_of(given, part)]
        return tables if is_several(given) else tables[0]
    return _full(given, base)


def written(source: Any) -> Any:
    """As plain values for YAML and JSON; of a table in memory only that it was one."""
    if source is None or isinstance(source, str | float):
        return source
    if isinstance(source, TableSpec):
        return {"table": written(source.table)} | source.model_dump(mode="json", exclude={"table"})
    if is_several(source):
        return [written(one) for one in source]
    return str(source) if is_path(source) else IN_MEMORY


def is_path(source: object) -> "TypeGuard[str | os.PathLike[str]]":
    """Whether a table is named by where it is."""
    return isinstance(source, str | os.PathLike)


def _describes(source: object) -> bool:
    """Whether a mapping tells of a table, rather than being a row of one with a column called "table"."""
    if not isinstance(source, Mapping) or "table" not in source:
        return False
    table = source["table"]
    if isinstance(table, str):
        return PurePath(table).suffix.lower() in SUFFIXES or set(source) <= set(TableSpec.model_fields)
    return not isinstance(table, int | float | None)


def _spec(given: Mapping[str, Any], place: str) -> TableSpec:
    try:
        return TableSpec.model_validate(dict(given))
    except ValidationError as error:
        raise ValueError("; ".join(place + _told(one) for one in error.errors())) from None


def _told(error: Any) -> str:
    field = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"a table has no field {field!r}{did_you_mean(field, TableSpec.model_fields)}"
    if error["type"] == "missing":
        return "expected a path, a table in memory, or a mapping with `table`"
    if error["type"] == "value_error":
        return f"{field}: {str(error['msg']).removeprefix('Value error, ')}"
    expected = str(error["msg"]).removeprefix("Input should be ").removeprefix("a valid ")
    return f"{field}: expected {expected}, found {error['input']!r}"


def _parts(table: object, otherwise: str) -> tuple[str, ...]:
    if not is_path(table):
        return (otherwise,)
    path = PurePath(os.fspath(table))
    return (path.with_suffix("") if path.name else path).parts or (otherwise,)


def _full(table: Any, base: Path) -> Any:
    return str((base / table).resolve()) if is_path(table) else table
