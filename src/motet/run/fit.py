"""Present cells of the training rows -> everything fitted on them, and Specs with nothing "auto" left."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import TypeVar

from motet.core.errors import DataError, SpecError
from motet.inputs.base import InputSpec, Preparation
from motet.model.assemble import drop_rate
from motet.model.columns import named_columns
from motet.model.share import as_owner, owners
from motet.tasks.base import Codec, TaskSpec
from motet.tasks.part import PartTask
from motet.tasks.row import RowTask

F = TypeVar("F")


def fit_inputs(
    inputs: Mapping[str, InputSpec],
    cells: Mapping[str, Iterator[object]],
    *,
    known: Mapping[str, tuple[InputSpec, Preparation]] | None = None,
) -> dict[str, tuple[InputSpec, Preparation]]:
    """Inputs that share a preparation have it fitted to the cells of all of them, the owner's first.

    Those that are `known`, as a model has them that training starts from, are not fitted again.
    Raises `DataError` for an input that no training row has.
    """
    owner = owners(inputs)
    found = {name: _some(name, spec, cells[name]) for name, spec in inputs.items()}
    fitted: dict[str, tuple[InputSpec, Preparation]] = {}
    for name in dict.fromkeys(owner.values()):
        if known and name in known:
            fitted[name] = known[name]
            continue
        group = [name, *sorted(one for one in inputs if owner[one] == name != one)]
        where = _place("inputs", {one: inputs[one] for one in group})
        preparation = _fit(where, inputs[name].fit, chain.from_iterable(found[one] for one in group))
        fitted[name] = inputs[name].resolved(preparation), preparation
    return {name: _as_fitted(spec, fitted[owner[name]], num_inputs=len(inputs)) for name, spec in inputs.items()}


def fit_task(
    name: str, spec: TaskSpec, cells: Iterator[object], readers: Mapping[str, Preparation]
) -> tuple[TaskSpec, Codec]:
    """The resolved Spec and the codec of one task; `readers` are the preparations of the inputs."""

    def fit(cells: Iterable[object]) -> Codec:
        if isinstance(spec, PartTask):
            return spec.fit(cells, {one: readers[one] for one in spec.reads})
        assert isinstance(spec, RowTask), f"{spec.kind} is neither a RowTask nor a PartTask"
        return spec.fit(cells)

    codec = _fit(_place("tasks", {name: spec}), fit, cells)
    return spec.resolved(codec), codec


def _as_fitted(
    spec: InputSpec, fitted: tuple[InputSpec, Preparation], *, num_inputs: int
) -> tuple[InputSpec, Preparation]:
    rate = drop_rate(spec, num_inputs=num_inputs)
    return as_owner(spec, fitted[0]).model_copy(update={"drop": rate}), fitted[1]


def _place(room: str, specs: Mapping[str, InputSpec | TaskSpec]) -> str:
    """What an error is about: the first of these inputs or tasks, and the columns of all."""
    columns = [repr(column) for name, spec in specs.items() for column in named_columns(name, spec)]
    return f"{room}.{next(iter(specs))} (column{'s' if len(columns) > 1 else ''} {', '.join(columns)})"


def _some(name: str, spec: InputSpec, cells: Iterator[object]) -> Iterator[object]:
    """The same cells, of which there is at least one."""
    first = next(cells, None)
    if first is None:
        what = "names a file that is there and inside the root folder" if spec.media else "has it"
        where = _place("inputs", {name: spec})
        raise DataError(f"{where}: no training row {what}; name another column, or leave this input out")
    return chain([first], cells)


def _fit(where: str, fit: Callable[[Iterable[object]], F], cells: Iterator[object]) -> F:
    """What `fit` makes of the cells; its errors say which input or task they are about."""
    try:
        return fit(cells)
    except (DataError, SpecError) as error:
        raise type(error)(f"{where}: {error}") from None
