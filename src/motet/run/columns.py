"""Inputs and tasks as the user wrote them -> the same with every column written out, and what tasks ask of inputs."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from motet.core.checks import did_you_mean
from motet.core.errors import SpecError
from motet.inputs.base import InputSpec
from motet.model.columns import column_names, explicit, named_columns
from motet.tasks.base import TaskSpec
from motet.tasks.part import PartTask

S = TypeVar("S", InputSpec, TaskSpec)


def with_columns(
    inputs: Mapping[str, InputSpec], tasks: Mapping[str, TaskSpec], columns: Sequence[str]
) -> tuple[dict[str, InputSpec], dict[str, TaskSpec]]:
    """Every input and task with which of the columns it reads, and every task with the inputs it reads.

    Raises `SpecError` for a column or an input that is not there, and for an input that is not as a task needs it.
    """
    found = {name: _with_columns("inputs", name, one, columns) for name, one in inputs.items()}
    jobs = {name: _with_labels(name, one, found, columns) for name, one in tasks.items()}
    return as_asked(found, jobs), jobs


def as_asked(inputs: Mapping[str, InputSpec], tasks: Mapping[str, TaskSpec]) -> dict[str, InputSpec]:
    """The inputs as these tasks need them, those that share an encoder alike; `SpecError` for one that says otherwise.

    >>> from motet.inputs import Text
    >>> from motet.tasks import Tagging
    >>> as_asked({"note": Text()}, {"names": Tagging()})["note"].words
    True
    """
    found = dict(inputs)
    for name, job in tasks.items():
        if isinstance(job, PartTask) and job.asks:
            reads = _with_reading(name, job, found).reads
            asked = [other for one in reads for other in _alike(one, found)]
            found |= {other: _as_asked(other, found[other], name, job) for other in asked}
    return found


def _with_columns(room: str, name: str, spec: S, columns: Sequence[str]) -> S:
    names = column_names(name, spec, columns, where=f"{room}.{name}")
    return spec.model_copy(update=explicit(spec, names))


def _with_labels(name: str, spec: TaskSpec, inputs: Mapping[str, InputSpec], columns: Sequence[str]) -> TaskSpec:
    """The task with the inputs it reads and the columns of its labels written out."""
    if isinstance(spec, PartTask):
        spec = _with_reading(name, spec, inputs)
        if spec.label_from is not None:
            return spec
    spec = _with_columns("tasks", name, spec, columns)
    for field in spec.beside:
        column = getattr(spec, field)
        if column is not None and column not in columns:
            hint = did_you_mean(column, columns)
            raise SpecError(f"tasks.{name}.{field}: the table has no column {column!r}{hint}")
    return spec


def _with_reading(name: str, spec: PartTask, inputs: Mapping[str, InputSpec]) -> PartTask:
    """The task with the inputs it reads written out."""
    try:
        return spec.reading({one: its.kind for one, its in inputs.items()})
    except SpecError as error:
        raise SpecError(f"tasks.{name}: {error}") from None


def check_apart(inputs: Mapping[str, InputSpec], tasks: Mapping[str, TaskSpec], *, id_column: str | None) -> None:
    """A column that is both given and asked for would teach nothing but itself."""
    owner = {column: name for name, one in inputs.items() for column in one.columns or (one.column or name,)}
    for task, job in tasks.items():
        may_be_read = isinstance(job, PartTask) and (job.label_from is not None or job.names_items)
        for column in () if may_be_read else named_columns(task, job):
            if column in owner and column != job.batched_by:
                raise SpecError(
                    f"tasks.{task}: column {column!r} is also read by inputs.{owner[column]}; "
                    "a model that sees the answer learns nothing: take it out of one of them"
                )
    for task in tasks:
        if task in ("row", id_column):
            raise SpecError(f"tasks.{task}: the predictions name each row in a column of that name; rename the task")
    both = sorted(set(inputs) & set(tasks))
    if both:
        raise SpecError(f"tasks.{both[0]}: an input has the same name; rename one of them and set its `column`")


def check_subgroups(names: Sequence[str], columns: Sequence[str]) -> None:
    """Raises `SpecError` for a column the report is to look into and the tables lack."""
    for name in names:
        if name not in columns:
            raise SpecError(f"evaluation.subgroups: the table has no column {name!r}{did_you_mean(name, columns)}")


def _alike(name: str, inputs: Mapping[str, InputSpec]) -> list[str]:
    """The inputs that have one encoder with this one."""
    owner = inputs[name].share or name
    return [other for other, spec in inputs.items() if (spec.share or other) == owner]


def _as_asked(name: str, spec: InputSpec, task: str, job: PartTask) -> InputSpec:
    for field, wanted in job.asks.items():
        found = getattr(spec, field)
        if field in spec.model_fields_set and found not in ("auto", wanted):
            raise SpecError(f"inputs.{name}.{field}: found {found!r}, but tasks.{task} needs {wanted!r} to read it")
    return spec.model_copy(update=dict(job.asks))
