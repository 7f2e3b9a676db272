"""Which quantiles of the draws bound a score: the parts of `interval.py` that look at numbers alone."""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def mid_quantiles(values: Floats, places: tuple[float, float]) -> tuple[float, float]:
    """Quantiles of B values, the k-th of them at k / (B + 1), equal ones at the mean of their places.

    >>> mid_quantiles(np.array([1.0, 1.0, 2.0]), (0.375, 0.5625))
    (1.0, 1.5)
    """
    distinct, count = np.unique(values, return_counts=True)
    middle = (np.cumsum(count) - (count - 1) / 2) / (len(values) + 1)
    low, high = np.interp(places, middle, distinct)
    return float(low), float(high)


def levels(level: float, *, num_units: int, bias: float, acceleration: float) -> tuple[float, float]:
    """The places of both bounds among the draws, by Efron's equation."""
    low, high = (bias + side * wide(level, num_units) for side in (-1, 1))
    places = [NormalDist().cdf(bias + one / max(1 - acceleration * one, 0.1)) for one in (low, high)]
    return places[0], places[1]


def normal(level: float) -> float:
    """How many standard deviations the bounds of a normal distribution are apart from its middle."""
    return NormalDist().inv_cdf((1 + level) / 2)


def wide(level: float, num_units: int) -> float:
    """What stands in place of the normal quantile where units are few."""
    return student((1 + level) / 2, num_units - 1) * math.sqrt(num_units / (num_units - 1))


def wider(without: Floats) -> float:
    """`sqrt(1 + sum d^4 / (sum d^2)^2)`, d as below; 1 where nothing changes the score.

    >>> round(wider(np.array([1.0, 0.0, 1.0, 0.0])) ** 2, 6)
    1.25
    """
    lost = without - without.mean() if len(without) else without
    square = float((lost**2).sum())
    return math.sqrt(1 + float((lost**4).sum()) / square**2) if square > 1e-24 else 1.0


def student(share: float, freedom: int) -> float:
    """Quantile of Student's t by its expansion in 1 / freedom (Abramowitz & Stegun 26.7.5), within 1 % from 5 on."""
    z = NormalDist().inv_cdf(share)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def acceleration(without: Floats) -> float:
    """`sum d^3 / (6 (sum d^2)^1.5)`, d what the score loses by what each block adds; 0 where nothing changes it."""
    lost = without.mean() - without if len(without) else without
    square = float((lost**2).sum())
    return float((lost**3).sum() / (6 * square**1.5)) if square > 1e-24 else 0.0
