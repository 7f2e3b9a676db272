"""Present labels of the training rows -> codecs; tasks that are measured in one unit are fitted together."""

from collections.abc import Iterator, Mapping
from itertools import chain

from motet.core.errors import CellError
from motet.run.fit import fit_task
from motet.tasks.base import Codec, TaskSpec
from motet.tasks.regression import Regression, number_of


def fit_tasks(
    tasks: Mapping[str, TaskSpec], cells: Mapping[str, Iterator[object]]
) -> dict[str, tuple[TaskSpec, Codec]]:
    """The resolved Spec and the codec of each task, in the order given.

    One that names a unit is fitted on the labels of all tasks that name it; `DataError` where it has none of its own.
    """
    units = {name: spec.unit for name, spec in tasks.items() if isinstance(spec, Regression) and spec.unit is not None}
    own = {name: [cell for cell in cells[name] if _is_number(cell)] for name in units}
    pooled = {
        unit: list(chain.from_iterable(own[name] for name in sorted(units) if units[name] == unit))
        for unit in set(units.values())
    }
    return {
        name: fit_task(name, spec, iter(pooled[units[name]] if own.get(name) else ()) if name in units else cells[name])
        for name, spec in tasks.items()
    }


def _is_number(cell: object) -> bool:
    try:
        number_of(cell)
    except CellError:
        return False
    return True
