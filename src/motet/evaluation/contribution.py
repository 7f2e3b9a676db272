"""What each input contributes to each task: the primary metric v over subsets of the inputs.

An input's contribution is its Shapley value, exact up to six inputs and found from drawn orders with more
(`shapley.py`), so that those of a task sum to v(all) - v(none). Beside it stands what the input says alone, v of it and
no other. Inputs that say the same share the first and each have all of the second.

For contributions the sign of v is turned where lower is better, so that a positive one always helps. A row that lacks
an input lacks it in every subset. Intervals are paired: one draw of rows serves all subsets. Those of drawn orders hold
the error of that as well: each draw of rows comes with a draw of the pairs of orders, whose deviation from their
mean is widened by sqrt(P / (P - 1)), for P pairs are few.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from motet.core.seed import generator
from motet.evaluation.interval import Floats, Groups, Interval, Judge, Resampling
from motet.evaluation.shapley import Plan, Subset, plan_of
from motet.tasks import Codec, Metric


@dataclass(frozen=True, slots=True)
class TaskRows:
    """What a task's answers are held against: its metric and N rows, of which some are labelled, and their groups."""

    codec: Codec
    metric: str
    target: Tensor
    labelled: Bool[Tensor, "N"]
    groups: Groups = None

    @property
    def judged_by(self) -> Metric:
        """The metric itself."""
        return next(metric for metric in self.codec.metrics() if metric.name == self.metric)

    @property
    def sign(self) -> int:
        """1 where higher is better, else -1."""
        return 1 if self.judged_by.higher_is_better else -1

    @property
    def labelled_groups(self) -> Groups:
        """The groups of the labelled rows."""
        return None if self.groups is None else self.groups[self.labelled.numpy()]

    def some(self, chosen: Int64[np.ndarray, "k"]) -> "TaskRows":
        """These of the N rows."""
        groups = None if self.groups is None else self.groups[chosen]
        return TaskRows(self.codec, self.metric, self.target[chosen], self.labelled[chosen], groups)

    def judge(self, output: Tensor) -> Judge:
        """What these outputs of all N rows score, as a function of numbers of labelled rows."""
        return self.judged_by.of_rows(output[self.labelled], self.target[self.labelled])

    def value(self, output: Tensor) -> float:
        """What these outputs of all N rows score."""
        return self.judged_by.compute(output[self.labelled], self.target[self.labelled])


@dataclass(frozen=True, slots=True)
class Contributions:
    """`by_input[input][task]`, `alone[input][task]`, and for each asked subset the primary metric of each task.

    All are found on `rows` rows.
    """

    method: Literal["shapley", "sampled"]
    by_input: Mapping[str, Mapping[str, Interval]]
    alone: Mapping[str, Mapping[str, Interval]]
    subsets: Sequence[tuple[Subset, Mapping[str, float]]]
    rows: int


def contributions(
    answer: Callable[[Subset], Mapping[str, Tensor]],
    *,
    inputs: Sequence[str],
    tasks: Mapping[str, TaskRows],
    seed: int,
    resamples: int = 200,
    level: float = 0.95,
) -> Contributions:
    """Answer N rows with each subset of `plan_of(inputs)` and share out the gain.

    `answer(subset)` gives `{task: output [N, ...]}` with all other inputs absent; it is called once per subset.
    """
    plan = plan_of(inputs, seed=seed)
    outputs = [answer(subset) for subset in plan.subsets]
    by_input: dict[str, dict[str, Interval]] = {name: {} for name in plan.inputs}
    alone: dict[str, dict[str, Interval]] = {name: {} for name in plan.inputs}
    values: list[dict[str, float]] = [{} for _ in plan.subsets]
    for task, rows in tasks.items():
        resampling = Resampling(int(rows.labelled.sum()), rows.labelled_groups, seed, resamples)
        table = scores_of(rows, [output[task] for output in outputs], resampling)
        for index, value in enumerate(table[0]):
            values[index][task] = float(value)
        for place, name in enumerate(plan.inputs):
            gains = rows.sign * _gains(plan, place, table, resampling)
            by_input[name][task] = _interval(gains, resampling, level, paired=True)
            alone[name][task] = _interval(table[:, plan.subsets.index((name,))], resampling, level)
    num_rows = max((len(rows.labelled) for rows in tasks.values()), default=0)
    return Contributions(plan.method, by_input, alone, list(zip(plan.subsets, values, strict=True)), num_rows)


def scores_of(rows: TaskRows, outputs: Sequence[Tensor], resampling: Resampling) -> Float[np.ndarray, "R S"]:
    """The metric of each of these outputs (columns): of all labelled rows first, then of the rows of each draw."""
    judges = [rows.judge(output) for output in outputs]
    table = [[rows.value(output) for output in outputs]]
    table += [[judge(drawn) for judge in judges] for drawn in resampling.rows()]
    return np.array(table, dtype=np.float64)


def _gains(plan: Plan, place: int, table: Floats, resampling: Resampling) -> Floats:
    """The Shapley value of the input in each line of the table; that of drawn orders varies with these too."""
    weights = plan.weights[:, place]
    gains = _weighted_sums(weights.mean(axis=0), table)
    num_pairs, num_draws = len(weights), min(resampling.resamples, len(table) - 1)
    if num_pairs > 1 and num_draws:
        by_pair = np.array([_weighted_sums(own, table[:1])[0] for own in weights])
        draw = generator(resampling.seed, "pairs of orders", plan.inputs[place])
        drawn = by_pair[draw.integers(num_pairs, size=(num_draws, num_pairs))].mean(axis=1)
        gains[1 : 1 + num_draws] += np.sqrt(num_pairs / (num_pairs - 1)) * (drawn - by_pair.mean())
    return gains


def _weighted_sums(weights: Floats, table: Floats) -> Floats:
    # A subset that does not count must not make the sum NaN.
    return np.asarray(table[:, weights != 0] @ weights[weights != 0])


def _interval(line: Floats, resampling: Resampling, level: float, *, paired: bool = False) -> Interval:
    return Interval(float(line[0]), *resampling.bounds(float(line[0]), line[1:], level=level, paired=paired))
