"""Intervals that hold two chances: which rows were scored, and which seed a model was trained with."""

import math

import numpy as np
from numpy.typing import NDArray

from motet.evaluation.interval import Interval, Resampling

Floats = NDArray[np.float64]
NONE = Interval(float("nan"), float("nan"), float("nan"))


def over_seeds(
    values: Floats, draws: Floats, *, resampling: Resampling, level: float, paired: bool = False
) -> Interval:
    """The mean over the seeds that exist, and its interval: `values [S]`, those of `resampling.rows()` `draws [S, B]`.

    The rows' bounds are those of a report (`Resampling.bounds`) for the mean over the seeds of each draw. The seeds'
    are t s / sqrt(S) away, t of Student's distribution with S - 1 degrees of freedom, s the standard deviation over the
    seeds: drawing a few seeds with replacement would know of no others. A bound of both is at the root of the sum of
    squares of both distances (MOVER: Zou & Donner, Statistics in Medicine 2008). With one seed nothing is known of the
    seeds' chance, and the interval holds that of the rows alone. `paired`: the values are differences.

    >>> resampling = Resampling(2, None, 0, 2)
    >>> over_seeds(np.array([0.5, 0.7]), np.array([[0.4, 0.6], [0.6, 0.8]]), resampling=resampling, level=0.5).value
    0.6
    """
    there = np.isfinite(values)
    values, draws = values[there], draws[there]
    if not len(values):
        return NONE
    value = float(values.mean())
    low, high = resampling.bounds(value, draws.mean(axis=0), level=level, paired=paired)
    away = _of_seeds(values, level)
    return Interval(value, value - math.hypot(value - low, away), value + math.hypot(high - value, away))


def _of_seeds(values: Floats, level: float) -> float:
    from scipy.special import stdtrit

    few = len(values) < 2
    return (
        0.0 if few else float(stdtrit(len(values) - 1, (1 + level) / 2) * values.std(ddof=1) / math.sqrt(len(values)))
    )


def ranks(scores: Floats) -> Floats:
    """Places from 1 along the first axis, more is better, equal ones share their mean place; NaN has none.

    >>> ranks(np.array([0.5, 0.9, 0.5])).tolist()
    [2.5, 1.0, 2.5]
    """
    above = (scores[None] > scores[:, None]).sum(axis=1)
    equal = (scores[None] == scores[:, None]).sum(axis=1)
    return np.where(np.isnan(scores), np.nan, 1 + above + (equal - 1) / 2)


def mean_rank(places: Floats) -> float:
    """The mean place over tasks and seeds, `places [T, S]`, of the seeds that have a place in all tasks.

    It has no interval: a place takes few values, and of a few seeds that agree on it nothing tells how others would
    not. Who is better is said by the difference of mean relative gains.

    >>> mean_rank(np.array([[1.0, 2.0, np.nan], [1.0, 1.0, 1.0]]))
    1.25
    """
    places = places[:, np.isfinite(places).all(axis=0)]
    return float(places.mean()) if places.size else float("nan")
