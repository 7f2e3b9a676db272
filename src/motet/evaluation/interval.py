"""Bootstrap over rows: how far a score could lie elsewhere had other rows of the same kind been drawn.

Rows that come in groups (the visits of one patient) are drawn a group at a time, for rows of one group tell less than
as many of different ones; units below are what is drawn, rows or groups. The bounds of a score v that U units gave are
two quantiles of what it is on B draws of U units with replacement: BCa (Efron, JASA 1987),

    a_low, a_high = Phi(z0 + (z0 + z) / (1 - a (z0 + z))),   z = -+ sqrt(U / (U - 1)) t_(U-1)

z0 = Phi^-1(share of draws below v) corrects for a draw that is low or high as a rule, a (from the third moment of what
the score loses without a part of the units) for a spread that depends on the score, and z, which is wider than
the normal quantile of BCa (Hesterberg, The American Statistician 2015, section 5), for spread being underrated where
units are few. Deviations: `a` is found without one block of units at a time, of 50 at most, in place of one unit; z0 is
held within -1..1, for scores that draws push to one side altogether, such as a calibration error; among equal draws a
quantile is that of their middle (Ma, Genton & Parzen 2011), or a share of few rows would claim too much; and v itself
always lies within its bounds.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from motet.core.seed import generator

Floats = NDArray[np.float64]
Groups = Int64[np.ndarray, "N"] | None
Judge = Callable[[Tensor], float]
"""Numbers of rows, repeated ones included, -> their score: what `Metric.of_rows` gives."""
MOST_BLOCKS = 50
FARTHEST_BIAS = 1.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the bounds that hold it; NaN where it does not exist."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Resampling:
    """The draws of N rows that all scores of these rows share, so that they can be compared; keyed by `seed`.

    `groups` are the numbers of the rows' groups; None: each row is drawn by itself.
    """

    num_rows: int
    groups: Groups
    seed: int
    resamples: int

    def rows(self) -> Iterator[Tensor]:
        """`resamples` times the rows of a draw, then the rows without each of the blocks; nothing where N is 0.

        >>> [rows.tolist() for rows in Resampling(2, np.array([7, 7]), 0, 1).rows()]
        [[0, 1]]
        """
        if not self.num_rows:
            return
        units = _Units.of(self.num_rows, self.groups)
        draw = generator(self.seed, "bootstrap", self.num_rows)
        for _ in range(self.resamples):
            yield units.rows(draw.integers(units.count, size=units.count))
        shuffled = generator(self.seed, "blocks", self.num_rows).permutation(units.count)
        blocks = np.array_split(shuffled, min(MOST_BLOCKS, units.count)) if units.count > 1 else []
        for block in blocks:
            kept = np.ones(units.count, dtype=bool)
            kept[block] = False
            yield units.rows(np.flatnonzero(kept))

    def bounds(self, value: float, scores: Floats, *, level: float) -> tuple[float, float]:
        """The bounds of the score `value` of all rows, from the scores of `rows()` in that order.

        Scores that do not exist are passed over; (NaN, NaN) if no draw has one.
        """
        draws, without = scores[: self.resamples], scores[self.resamples :]
        draws, without = draws[np.isfinite(draws)], without[np.isfinite(without)]
        if len(draws) == 0 or not math.isfinite(value):
            return float("nan"), float("nan")
        num_units = self.num_rows if self.groups is None else len(np.unique(self.groups))
        below = ((draws < value).sum() + (draws == value).sum() / 2 + 0.5) / (len(draws) + 1)
        bias = min(max(NormalDist().inv_cdf(float(below)), -FARTHEST_BIAS), FARTHEST_BIAS)
        places = _levels(level, num_units=num_units, bias=bias, acceleration=_acceleration(without))
        low, high = mid_quantiles(draws, places)
        return min(low, value), max(high, value)


def interval_of(
    judge: Judge,
    num_rows: int,
    *,
    groups: Groups = None,
    seed: int,
    resamples: int = 200,
    level: float = 0.95,
    value: float | None = None,
) -> Interval:
    """The score of N rows with its bounds; `value` where it is known already.

    >>> right = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    >>> one = interval_of(lambda rows: right[rows].mean().item(), 8, seed=0)
    >>> one.value, one.low < 0.75 < one.high
    (0.75, True)
    """
    resampling = Resampling(num_rows, groups, seed, resamples)
    value = judge(torch.arange(num_rows)) if value is None else value
    scores = np.array([judge(rows) for rows in resampling.rows()], dtype=np.float64)
    return Interval(value, *resampling.bounds(value, scores, level=level))


def difference(
    first: Judge,
    second: Judge,
    num_rows: int,
    *,
    groups: Groups = None,
    seed: int,
    resamples: int = 200,
    level: float = 0.95,
) -> Interval:
    """How much more the first scores than the second on the same N rows: each draw of rows judges both.

    >>> right, half = torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([1.0, 0.0, 1.0, 0.0])
    >>> difference(lambda rows: right[rows].mean().item(), lambda rows: half[rows].mean().item(), 4, seed=0).value
    0.5
    """
    return interval_of(
        lambda rows: first(rows) - second(rows), num_rows, groups=groups, seed=seed, resamples=resamples, level=level
    )


def percentiles(values: Floats, *, level: float) -> tuple[float, float]:
    """The bounds that hold the middle `level` of the values; NaN ones are passed over, and (NaN, NaN) if all are.

    >>> percentiles(np.arange(101.0), level=0.5)
    (25.0, 75.0)
    """
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mid_quantiles(values: Floats, places: tuple[float, float]) -> tuple[float, float]:
    """Quantiles of B values, the k-th of them at k / (B + 1), equal ones at the mean of their places.

    >>> mid_quantiles(np.array([1.0, 1.0, 2.0]), (0.375, 0.5625))
    (1.0, 1.5)
    """
    distinct, count = np.unique(values, return_counts=True)
    middle = (np.cumsum(count) - (count - 1) / 2) / (len(values) + 1)
    low, high = np.interp(places, middle, distinct)
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class _Units:
    """The rows in the order of their groups: unit u has `sizes[u]` of them from `starts[u]` on."""

    order: Int64[np.ndarray, "N"] | None
    starts: Int64[np.ndarray, "U"]
    sizes: Int64[np.ndarray, "U"]
    count: int

    @classmethod
    def of(cls, num_rows: int, groups: Groups) -> "_Units":
        if groups is None:
            return cls(None, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), num_rows)
        _, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        return cls(np.argsort(place, kind="stable"), np.cumsum(sizes) - sizes, sizes, len(sizes))

    def rows(self, units: Int64[np.ndarray, "n"]) -> Tensor:
        """The rows of these units, one unit after the other."""
        if self.order is None:
            return torch.from_numpy(units)
        sizes = self.sizes[units]
        before = np.cumsum(sizes) - sizes
        places = np.repeat(self.starts[units] - before, sizes) + np.arange(sizes.sum())
        return torch.from_numpy(self.order[places])


def _levels(level: float, *, num_units: int, bias: float, acceleration: float) -> tuple[float, float]:
    z = _student((1 + level) / 2, num_units - 1) * math.sqrt(num_units / (num_units - 1)) if num_units > 1 else 0.0
    low, high = (bias + side * z for side in (-1, 1))
    places = [NormalDist().cdf(bias + one / max(1 - acceleration * one, 0.1)) for one in (low, high)]
    return places[0], places[1]


def _student(share: float, freedom: int) -> float:
    """Quantile of Student's t by its expansion in 1 / freedom (Abramowitz & Stegun 26.7.5), within 1 % from 5 on."""
    z = NormalDist().inv_cdf(share)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _acceleration(without: Floats) -> float:
    """`sum d^3 / (6 (sum d^2)^1.5)`, d what the score loses by what each block adds; 0 where nothing changes it."""
    lost = without.mean() - without if len(without) else without
    square = float((lost**2).sum())
    return float((lost**3).sum() / (6 * square**1.5)) if square > 1e-24 else 0.0
