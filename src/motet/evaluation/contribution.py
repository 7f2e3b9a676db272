"""What each input contributes to each task: the primary metric over subsets of the inputs.

With up to four inputs every subset is answered, and an input's contribution is its Shapley value (Shapley 1953): its
gain, averaged over all orders in which the inputs could have joined,

    phi_m = sum over S without m of |S|! (M - |S| - 1)! / M! * (v(S + m) - v(S)),

so that the contributions of a task sum to v(all) - v(none). With more inputs, 2^M answers cost too much: there the
contribution is v(all) - v(all but m), which says what would be lost without the input while the others stay, and
does not sum to anything. Inputs that say the same share the first kind of credit and get none of the second.

v is the primary metric, its sign turned where lower is better, so that a positive contribution always helps. A row that
lacks an input lacks it in every subset. Intervals are a paired bootstrap: one draw of rows serves all subsets.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from motet.evaluation.interval import Floats, percentiles, resampled_rows
from motet.tasks import Codec, Metric

MOST_FOR_ALL_SUBSETS = 4


@dataclass(frozen=True, slots=True)
class TaskRows:
    """What a task's answers are held against: its metric and N rows, of which some are labelled."""

    codec: Codec
    metric: str
    target: Tensor
    labelled: Bool[Tensor, "N"]


@dataclass(frozen=True, slots=True)
class Contribution:
    """The gain in the primary metric that an input brings, positive where it helps."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Contributions:
    """`by_input[input][task]`, and for each answered subset the primary metric of each task as it is.

    All are found on `rows` rows.
    """

    method: Literal["shapley", "leave_one_out"]
    by_input: Mapping[str, Mapping[str, Contribution]]
    subsets: Sequence[tuple[tuple[str, ...], Mapping[str, float]]]
    rows: int


def subsets_of(inputs: Sequence[str]) -> list[tuple[str, ...]]:
    """The subsets that are answered: all of them up to four inputs, else none, each alone, each left out, and all.

    >>> subsets_of(["a", "b"])
    [(), ('a',), ('b',), ('a', 'b')]
    """
    num = len(inputs)
    sizes = range(num + 1) if num <= MOST_FOR_ALL_SUBSETS else (0, 1, num - 1, num)
    return [subset for size in sizes for subset in combinations(inputs, size)]


def contributions(
    answer: Callable[[tuple[str, ...]], Mapping[str, Tensor]],
    *,
    inputs: Sequence[str],
    tasks: Mapping[str, TaskRows],
    seed: int,
    resamples: int = 200,
    level: float = 0.95,
) -> Contributions:
    """Answer N rows with each of `subsets_of(inputs)` and share out the gain.

    `answer(subset)` gives `{task: output [N, ...]}` with all other inputs absent; it is called once per subset.
    """
    subsets = subsets_of(inputs)
    outputs = [answer(subset) for subset in subsets]
    weights = _shapley(inputs) if len(inputs) <= MOST_FOR_ALL_SUBSETS else _leave_one_out(inputs)
    by_input: dict[str, dict[str, Contribution]] = {name: {} for name in inputs}
    values: list[dict[str, float]] = [{} for _ in subsets]
    for task, rows in tasks.items():
        metric = next(metric for metric in rows.codec.metrics() if metric.name == rows.metric)
        sign = 1 if metric.higher_is_better else -1
        table = _values(metric, [output[task] for output in outputs], rows, seed=seed, resamples=resamples)
        for index, value in enumerate(table[0]):
            values[index][task] = float(value)
        for name in inputs:
            gains = sign * np.array([_weighted_sum(weights[name], row) for row in table])
            low, high = percentiles(gains[1:], level=level)
            by_input[name][task] = Contribution(float(gains[0]), low, high)
    method: Literal["shapley", "leave_one_out"] = "shapley" if len(inputs) <= MOST_FOR_ALL_SUBSETS else "leave_one_out"
    num_rows = max((len(rows.labelled) for rows in tasks.values()), default=0)
    return Contributions(method, by_input, list(zip(subsets, values, strict=True)), num_rows)


def _values(metric: Metric, outputs: Sequence[Tensor], rows: TaskRows, *, seed: int, resamples: int) -> Floats:
    """The metric of each subset (columns): over all labelled rows first, then over each resample."""
    target = rows.target[rows.labelled]
    labelled = [output[rows.labelled] for output in outputs]
    table = [[metric.compute(output, target) for output in labelled]]
    of_rows = [metric.of_rows(output, target) for output in labelled]
    for drawn in resampled_rows(len(target), seed=seed, resamples=resamples):
        table.append([score(drawn) for score in of_rows])
    return np.array(table)


def _shapley(inputs: Sequence[str]) -> dict[str, Floats]:
    """For each input the weight of every subset's value in its Shapley value."""
    num = len(inputs)
    weights = {}
    for name in inputs:
        row = []
        for subset in subsets_of(inputs):
            others = len(subset) - (name in subset)
            share = math.factorial(others) * math.factorial(num - others - 1) / math.factorial(num)
            row.append(share if name in subset else -share)
        weights[name] = np.array(row)
    return weights


def _leave_one_out(inputs: Sequence[str]) -> dict[str, Floats]:
    whole = tuple(inputs)
    return {
        name: np.array(
            [
                1.0 if subset == whole else -1.0 if subset == tuple(one for one in inputs if one != name) else 0.0
                for subset in subsets_of(inputs)
            ]
        )
        for name in inputs
    }


def _weighted_sum(weights: Floats, values: Floats) -> float:
    # A subset that does not count must not make the sum NaN.
    return float((weights[weights != 0] * values[weights != 0]).sum())
