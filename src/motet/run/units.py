"""Present labels of the training rows -> codecs; tasks that are measured in one unit are fitted together."""

from collections.abc import Iterator, Mapping
from itertools import chain

from motet.core.errors import CellError
from motet.inputs.base import Preparation
from motet.run.fit import fit_task
from motet.tasks.base import Codec, TaskSpec
from motet.tasks.numbers import number_of
from motet.tasks.regression import OneNumber, Regression

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
    """Tasks of one unit, which have one centre and one scale."""
    own = {name: [cell for cell in cells[name] if _is_number(cell)] for name in tasks}
    for name, spec in tasks.items():
        if not own[name]:
            fit_task(name, spec, iter(()), {})  # raises
    first, spec = next(iter(tasks.items()))
    _, codec = fit_task(first, spec, chain.from_iterable(own.values()), {})
    assert isinstance(codec, OneNumber), "cells that list several numbers are passed over"
    return {name: (spec.resolved(codec), spec.fit_alike(codec)) for name, spec in tasks.items()}


def _is_number(cell: object) -> bool:
    try:
        number_of(cell)
    except CellError:
        return False
    return True
