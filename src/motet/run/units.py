"""Present labels of the training rows -> codecs; tasks that are measured in one unit are fitted together."""

from collections.abc import Iterator, Mapping
from itertools import chain

from motet.core.errors import CellError
from motet.inputs.base import Preparation
from motet.run.fit import fit_task
from motet.tasks.base import Codec, TaskSpec
from motet.tasks.regression import Regression, number_of

Fitted = dict[str, tuple[TaskSpec, Codec]]


def fit_tasks(
    tasks: Mapping[str, TaskSpec], cells: Mapping[str, Iterator[object]], readers: Mapping[str, Preparation]
) -> Fitted:
    """The resolved Spec and the codec of each task, in the order given; `readers` are the preparations of the inputs.

    One that names a unit is fitted on the labels of all tasks that name it; `DataError` where it has none of its own.
    """
    units: dict[str, dict[str, Regression]] = {}
    for name, spec in sorted(tasks.items()):
        if isinstance(spec, Regression) and spec.unit is not None:
            units.setdefault(spec.unit, {})[name] = spec
    found: Fitted = {}
    for alike in units.values():
        found |= _fit_alike(alike, cells)
    return {
        name: found[name] if name in found else fit_task(name, spec, cells[name], readers)
        for name, spec in tasks.items()
    }


def _fit_alike(tasks: Mapping[str, Regression], cells: Mapping[str, Iterator[object]]) -> Fitted:
    """Tasks of one unit, which differ in how wide their intervals are to be and in nothing else that is fitted."""
    own = {name: [cell for cell in cells[name] if _is_number(cell)] for name in tasks}
    for name, spec in tasks.items():
        if not own[name]:
            fit_task(name, spec, iter(()), {})  # raises
    first, spec = next(iter(tasks.items()))
    _, codec = fit_task(first, spec, chain.from_iterable(own.values()), {})
    return {name: (spec, codec.model_copy(update={"interval": spec.interval})) for name, spec in tasks.items()}


def _is_number(cell: object) -> bool:
    try:
        number_of(cell)
    except CellError:
        return False
    return True
