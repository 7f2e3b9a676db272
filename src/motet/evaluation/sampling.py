"""How the bounds of a figure about N rows are found: one choice for all figures of a report."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from motet.evaluation.interval import Interval, Judge, difference


@dataclass(frozen=True, slots=True)
class Sampling:
    """A bootstrap over rows, or over whole groups of rows where `groups` are the numbers of the rows' groups."""

    seed: int
    resamples: int = 200
    level: float = 0.95
    groups: Int64[np.ndarray, "N"] | None = None

    def among(self, rows: np.ndarray) -> "Sampling":
        """The same for these rows."""
        groups = None if self.groups is None else self.groups[rows]
        return Sampling(self.seed, self.resamples, self.level, groups)

    def of(self, judge: Judge, num_rows: int) -> Interval:
        """The score of N rows.

        >>> right = torch.tensor([1.0, 1.0, 0.0, 0.0])
        >>> one = Sampling(seed=0).of(lambda rows: right[rows].mean().item(), 4)
        >>> one.value, one.low < 0.5 < one.high
        (0.5, True)
        """
        return self.difference(judge, lambda rows: 0.0, num_rows)

    def difference(self, first: Judge, second: Judge, num_rows: int) -> Interval:
        """How much more the first scores than the second, of the same draws."""
        if self.groups is not None:
            members = _members(self.groups)
            first, second, num_rows = _of_groups(first, members), _of_groups(second, members), len(members)
        return difference(first, second, num_rows, seed=self.seed, resamples=self.resamples, level=self.level)


def _of_groups(judge: Judge, members: Sequence[Tensor]) -> Judge:
    """Numbers of groups -> the score of all their rows."""
    return lambda drawn: judge(torch.cat([members[group] for group in drawn.tolist()]))


def _members(groups: np.ndarray) -> list[Tensor]:
    """The rows of each group."""
    _, number, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(number.reshape(-1), kind="stable")
    return [torch.from_numpy(rows) for rows in np.split(order, np.cumsum(counts)[:-1])]
