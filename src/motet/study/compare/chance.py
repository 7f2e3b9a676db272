"""Intervals that hold two chances: which rows were scored, and which seed a model was trained with."""

import functools

import numpy as np
from numpy.typing import NDArray

from motet.core.seed import generator
from motet.evaluation.interval import Interval, percentiles

Floats = NDArray[np.float64]
NONE = Interval(float("nan"), float("nan"), float("nan"))


def over_seeds(values: Floats, draws: Floats, *, seed: int, level: float) -> Interval:
    """The mean over the seeds that exist, and its interval: `values [S]`, on B draws of rows `draws [S, B]`.

    The rows' chance is drawn: each draw of rows has its own mean over the seeds. The seeds' chance is added to each
    draw as s / sqrt(S) times a number of Student's distribution with S - 1 degrees of freedom, s the standard deviation
    over the seeds: drawing a few seeds with replacement would know of no others (with three seeds that matter more than
    the rows, such intervals of 95 % held the truth in 73 % of cases; these in 95 %). With one seed nothing is known of
    the seeds' chance, and the interval holds that of the rows alone.

    >>> over_seeds(np.array([0.5, 0.7]), np.array([[0.5, 0.5], [0.7, 0.7]]), seed=0, level=0.5).value
    0.6
    """
    there = np.isfinite(values)
    values, draws = values[there], draws[there]
    if not len(values):
        return NONE
    means = draws.mean(axis=0)
    if len(values) > 1:
        means = means + values.std(ddof=1) / np.sqrt(len(values)) * student(len(values) - 1, len(means), seed=seed)
    low, high = percentiles(means, level=level)
    return Interval(float(values.mean()), low, high)


@functools.cache
def student(degrees: int, count: int, *, seed: int) -> Floats:
    """So many numbers spread as Student's distribution, in random order: the middles of as many equal shares of it.

    >>> abs(round(float(np.median(student(2, 201, seed=0))), 2))
    0.0
    """
    draw = generator(seed, "student", degrees, count)
    spread = np.sort(draw.standard_t(degrees, size=(500 * count,))).reshape(count, 500)[:, 250]
    found: Floats = draw.permutation(spread)
    found.flags.writeable = False
    return found


def ranks(scores: Floats) -> Floats:
    """Places from 1 along the first axis, more is better, equal ones share their mean place; NaN has none.

    >>> ranks(np.array([0.5, 0.9, 0.5])).tolist()
    [2.5, 1.0, 2.5]
    """
    above = (scores[None] > scores[:, None]).sum(axis=1)
    equal = (scores[None] == scores[:, None]).sum(axis=1)
    return np.where(np.isnan(scores), np.nan, 1 + above + (equal - 1) / 2)


def mean_rank(places: Floats, drawn: Floats, *, seed: int, level: float) -> Interval:
    """The mean place over tasks and seeds, `places [T, S]`, `drawn [T, S, B]`; each draw of rows draws seeds too."""
    there = np.isfinite(places).all(axis=0)
    places, drawn = places[:, there], drawn[:, there]
    if not places.size:
        return NONE
    count, draws = places.shape[1], drawn.shape[2]
    chosen = generator(seed, "ranks", count, draws).integers(count, size=(draws, count))
    means = np.array([drawn[:, seeds, place].mean() for place, seeds in enumerate(chosen)])
    low, high = percentiles(means, level=level)
    return Interval(float(places.mean()), low, high)
