"""Which columns of a table an input or a task is about."""

import fnmatch
from collections.abc import Mapping, Sequence

from motet.core.checks import did_you_mean
from motet.core.errors import SpecError
from motet.core.flow import Column
from motet.inputs.base import InputSpec, Preparation
from motet.tasks.base import Codec, TaskSpec


def column_names(name: str, spec: InputSpec | TaskSpec, available: Sequence[str], *, where: str) -> tuple[str, ...]:
    """The columns of the input or task `name`, in the order written (a glob: in the order of the table).

    Raises `SpecError` for a column that the table lacks, naming the nearest, for a glob that matches nothing, and for
    several columns where the kind reads one.
    """
    if isinstance(spec.columns, str):
        found = tuple(column for column in available if fnmatch.fnmatchcase(column, spec.columns))
        if not found:
            raise SpecError(f"{where}.columns: no column matches {spec.columns!r}; there are {_some(available)}")
    else:
        found = spec.columns or (spec.column or name,)
    for column in found:
        if column not in available:
            field = "columns" if spec.columns else "column"
            raise SpecError(f"{where}.{field}: the table has no column {column!r}{_hint(column, available)}")
    if len(found) > 1 and not spec.several:
        raise SpecError(
            f"{where}.columns: {spec.kind} reads one column, found {_some(found)}; make each an input of its own, "
            f"such as {found[1]}: {{kind: {spec.kind}, share: {found[0]}}}, where `share` gives them one encoder"
        )
    return found


def explicit(spec: InputSpec | TaskSpec, names: tuple[str, ...]) -> dict[str, object]:
    """The fields of a Spec that name its columns, written out."""
    return {"column": names[0]} if len(names) == 1 and spec.columns is None else {"columns": names}


def input_columns(inputs: Mapping[str, tuple[InputSpec, Preparation]]) -> dict[str, Column]:
    """What the data room reads for resolved inputs."""
    return {
        name: Column(
            named_columns(name, spec),
            preparation,
            media=spec.media,
            missing=spec.missing,
            separator=spec.divider,
        )
        for name, (spec, preparation) in inputs.items()
    }


def task_columns(tasks: Mapping[str, tuple[TaskSpec, Codec]]) -> dict[str, Column]:
    """What the data room reads for resolved tasks."""
    return {
        name: Column(named_columns(name, spec), codec, missing=spec.missing) for name, (spec, codec) in tasks.items()
    }


def named_columns(name: str, spec: InputSpec | TaskSpec) -> tuple[str, ...]:
    """The columns of a resolved Spec."""
    assert not isinstance(spec.columns, str), "a glob is resolved before training"
    return spec.columns or (spec.column or name,)


def _hint(column: str, available: Sequence[str]) -> str:
    hint = did_you_mean(column, available)
    return hint if len(available) <= 12 or "mean" in hint else f"; there are {_some(available)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
