"""A task's metric on the rows of each value of a column, beside all other rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from motet.evaluation.interval import Interval, Judge
from motet.evaluation.sampling import Sampling
from motet.evaluation.values import Values
from motet.tasks import Codec

LEAST_ROWS = 20


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The metric on the `rows` rows of a value, and how far it is from that on all other rows."""

    value: str
    rows: int
    metric: Interval
    difference: Interval


def subgroups(
    codec: Codec, metric: str, output: Tensor, target: Tensor, columns: Mapping[str, Values], *, sampling: Sampling
) -> dict[str, tuple[Subgroup, ...]]:
    """By column, of N labelled rows. Each draw of rows is divided into those of the value and the others.

    A value that one group of rows alone has, or all groups but one, has no interval of its difference: how far that
    group is from others of the kind is not known. The intervals are each by itself: of twenty values that do not
    differ about one seems to, at a level of 0.95.

    >>> from motet.tasks import Binary
    >>> codec = Binary().fit(["no", "yes"])
    >>> values = {"shop": Values(("north", "south"), np.array([0, 0, 1, 1]))}
    >>> output, target = torch.tensor([1.0, -1.0, 1.0, 1.0]), torch.tensor([1.0, 0.0, 0.0, 0.0])
    >>> found = subgroups(codec, "accuracy", output, target, values, sampling=Sampling(seed=0))
    >>> found["shop"][0].metric.value, found["shop"][1].difference.value
    (1.0, -1.0)
    """
    judge = next(one for one in codec.metrics() if one.name == metric).of_rows(output, target)
    return {
        column: tuple(_subgroup(judge, values, number, sampling) for number in range(len(values.names)))
        for column, values in columns.items()
    }


def _subgroup(judge: Judge, values: Values, number: int, sampling: Sampling) -> Subgroup:
    inside = values.number == number
    own, place = np.flatnonzero(inside), torch.from_numpy(inside)
    metric = sampling.among(own).of(lambda rows: judge(torch.from_numpy(own)[rows]), len(own))
    apart = sampling.difference(
        lambda rows: _of_some(judge, rows[place[rows]]), lambda rows: _of_some(judge, rows[~place[rows]]), len(inside)
    )
    if min(sampling.units(own), sampling.units(np.flatnonzero(~inside))) < 2:
        apart = Interval(apart.value, float("nan"), float("nan"))  # one group does not tell how groups differ
    return Subgroup(values.names[number], len(own), metric, apart)


def _of_some(judge: Judge, rows: Tensor) -> float:
    return judge(rows) if len(rows) else float("nan")
