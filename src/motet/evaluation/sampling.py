"""How the bounds of a figure about N rows are found: one choice for all figures of a report."""

from dataclasses import dataclass

import numpy as np

from motet.evaluation.interval import Groups, Interval, Judge, difference, interval_of


@dataclass(frozen=True, slots=True)
class Sampling:
    """A bootstrap over rows, or over whole groups of rows where `groups` are the numbers of the rows' groups."""

    seed: int
    resamples: int = 200
    level: float = 0.95
    groups: Groups = None

    def among(self, rows: np.ndarray) -> "Sampling":
        """The same for these rows."""
        groups = None if self.groups is None else self.groups[rows]
        return Sampling(self.seed, self.resamples, self.level, groups)

    def of(self, judge: Judge, num_rows: int) -> Interval:
        """The score of N rows.

        >>> import torch
        >>> right = torch.tensor([1.0, 1.0, 0.0, 0.0])
        >>> one = Sampling(seed=0).of(lambda rows: right[rows].mean().item(), 4)
        >>> one.value, one.low < 0.5 < one.high
        (0.5, True)
        """
        return interval_of(
            judge, num_rows, groups=self.groups, seed=self.seed, resamples=self.resamples, level=self.level
        )

    def difference(self, first: Judge, second: Judge, num_rows: int) -> Interval:
        """How much more the first scores than the second, of the same draws."""
        return difference(
            first, second, num_rows, groups=self.groups, seed=self.seed, resamples=self.resamples, level=self.level
        )

    def units(self, rows: np.ndarray) -> int:
        """How many rows, or groups of rows, these rows are of.

        >>> Sampling(seed=0, groups=np.array([4, 4, 7])).units(np.array([0, 1]))
        1
        """
        return len(np.unique(rows if self.groups is None else self.groups[rows]))
