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

What no row showed may still be there, which draws of these rows can not know. So a score that lies in 0..1 on every
draw and of which fewer than ten units would make up one side has the bounds of a share (`share.py`). A difference of
two scores is made wider about v, by sqrt(1 + sum d^4 / (sum d^2)^2), d what it loses without each block: one more block
of a size typical of those that count, half of it on each side, as in plus-four intervals (Agresti & Min, Statistics in
Medicine 2005); that is little where many blocks count, and sqrt(2) where one does. Of a difference that is the same in
all units, a share of units may be opposed; only none at all stays exactly none, for the very same answers give it too.
A single unit tells nothing, nor do units that all score alike where no range is known: there are no bounds (NaN) then.
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
from motet.evaluation.quantiles import acceleration, levels, mid_quantiles, normal, wide, wider
from motet.evaluation.share import SELDOM, effective, share_bounds

Floats = NDArray[np.float64]
Groups = Int64[np.ndarray, "N"] | None
Judge = Callable[[Tensor], float]
"""Numbers of rows, repeated ones included, -> their score: what `Metric.of_rows` gives."""
MOST_BLOCKS = 50
NONE = (float("nan"), float("nan"))
FARTHEST_BIAS = 1.0
ROUNDING = 1e-6
"""Of float32: scores this close, as a share of their size, are alike."""


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

    @property
    def num_units(self) -> int:
        """What is drawn: rows, or groups."""
        return self.num_rows if self.groups is None else len(np.unique(self.groups))

    def bounds(self, value: float, scores: Floats, *, level: float, paired: bool = False) -> tuple[float, float]:
        """The bounds of the score `value` of all rows, or of a difference (`paired`), from those of `rows()` in order.

        Scores that do not exist are passed over; (NaN, NaN) if no draw has one, and of a single unit.

        >>> Resampling(20, None, 0, 50).bounds(1.0, np.ones(70), level=0.95)[0] < 0.9
        True
        """
        draws, without = scores[: self.resamples], scores[self.resamples :]
        draws, without = draws[np.isfinite(draws)], without[np.isfinite(without)]
        num_units = self.num_units
        if len(draws) == 0 or not math.isfinite(value) or num_units < 2:
            return NONE
        low, high = self._bootstrapped(value, draws, without, level=level)
        alike = high - low <= ROUNDING * abs(value)
        if paired:
            factor = wider(without)
            apart = value - factor * (value - low), value + factor * (high - value)
            return _alike(value, num_units, level=level) if alike else apart
        if min(value, draws.min()) >= -ROUNDING and max(value, draws.max()) <= 1 + ROUNDING:
            value = min(max(value, 0.0), 1.0)
            number = effective(value, float(draws.var()), num_units)
            if number * min(value, 1 - value) < SELDOM:
                known = 1.0 if self.groups is None or alike else (normal(level) / wide(level, num_units)) ** 2
                return share_bounds(value, known * number, level=level)
        return NONE if alike else (low, high)

    def _bootstrapped(self, value: float, draws: Floats, without: Floats, *, level: float) -> tuple[float, float]:
        num_units = self.num_units
        below = ((draws < value).sum() + (draws == value).sum() / 2 + 0.5) / (len(draws) + 1)
        bias = min(max(NormalDist().inv_cdf(float(below)), -FARTHEST_BIAS), FARTHEST_BIAS)
        places = levels(level, num_units=num_units, bias=bias, acceleration=acceleration(without))
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
    paired: bool = False,
) -> Interval:
    """The score of N rows with its bounds; `value` where it is known already; `paired`: it is a difference of two.

    >>> right = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    >>> one = interval_of(lambda rows: right[rows].mean().item(), 8, seed=0)
    >>> one.value, one.low < 0.75 < one.high
    (0.75, True)
    """
    resampling = Resampling(num_rows, groups, seed, resamples)
    value = judge(torch.arange(num_rows)) if value is None else value
    scores = np.array([judge(rows) for rows in resampling.rows()], dtype=np.float64)
    return Interval(value, *resampling.bounds(value, scores, level=level, paired=paired))


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

    def judge(rows: Tensor) -> float:
        return first(rows) - second(rows)

    return interval_of(judge, num_rows, groups=groups, seed=seed, resamples=resamples, level=level, paired=True)


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


def _alike(value: float, num_units: int, *, level: float) -> tuple[float, float]:
    """Bounds of a difference of this size in all units: none seen was opposed, yet a share of units may be so."""
    unseen = 1 - share_bounds(1.0, num_units, level=level)[0]
    opposed = value - 2 * unseen * value
    return min(value, opposed), max(value, opposed)
