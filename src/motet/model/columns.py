"""Which columns of a table an input or a task is about."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from motet.core.checks import did_you_mean
from motet.core.errors import SpecError
from motet.core.flow import Column, Place
from motet.inputs.base import InputSpec, Preparation
from motet.tasks.base import Codec, TaskSpec
from motet.tasks.part import PartTask


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


@dataclass(frozen=True, slots=True)
class Labels:
    """Where the labels of a task are, and what else `Column` says of them."""

    place: Place
    varies_as: str | None = None
    needs: tuple[str, ...] = ()
    beside: Place | None = None

    def read_by(self, codec: Codec) -> Column:
        """As the data room reads them."""
        return Column(
            self.place.names,
            codec,
            media=self.place.media,
            missing=self.place.missing,
            separator=self.place.separator,
            varies_as=self.varies_as,
            needs=self.needs,
            beside=self.beside,
            whole=self.place.whole,
        )


def task_columns(tasks: Mapping[str, tuple[TaskSpec, Codec]], inputs: Mapping[str, InputSpec]) -> dict[str, Column]:
    """What the data room reads for resolved tasks of a model with these inputs."""
    return {name: labels_of(name, spec, inputs).read_by(codec) for name, (spec, codec) in tasks.items()}


def labels_of(name: str, spec: TaskSpec, inputs: Mapping[str, InputSpec]) -> Labels:
    """The columns of a resolved task's labels: its own, or those of the input whose cells are its labels."""
    own = Place(named_columns(name, spec), spec.media, spec.missing, whole=bool(spec.beside))
    if not isinstance(spec, PartTask):
        return Labels(own)
    first = spec.reads[0] if spec.label_from is None else spec.reads[spec.label_from]
    source = input_place(first, inputs[first])
    needs = spec.reads if spec.needs_all else ()
    if spec.label_from is not None:
        return Labels(source, varies_as=first, needs=needs)
    return Labels(own, varies_as=first, needs=needs, beside=source if spec.beside_input else None)


def input_place(name: str, spec: InputSpec) -> Place:
    """Where the cells of a resolved input are."""
    return Place(named_columns(name, spec), spec.media, spec.missing, spec.divider)


def named_columns(name: str, spec: InputSpec | TaskSpec) -> tuple[str, ...]:
    """The columns of a resolved Spec."""
    assert not isinstance(spec.columns, str), "a glob is resolved before training"
    own = spec.columns or (spec.column or name,)
    beside = [getattr(spec, field) for field in spec.beside] if isinstance(spec, TaskSpec) else []
    return (*own, *(column for column in beside if column is not None))


def _hint(column: str, available: Sequence[str]) -> str:
    hint = did_you_mean(column, available)
    return hint if len(available) <= 12 or "mean" in hint else f"; there are {_some(available)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
