"""Where the answers are bad: slices of the rows, by one or two columns, found without being asked for.

N rows with a badness e_i each, S slices that are tried. A slice of n rows is compared to all others,

    d = mean of e inside - mean of e outside,    z = d / (s sqrt(1 / n + 1 / (N - n))),

with the deviation s of all e. Slices are many, so that some look bad by chance: z counts from the bound c on, which
the largest |z| of all slices exceeds only in a share 1 - level of permutations of e over the rows (Westfall & Young,
Resampling-Based Multiple Testing, 1993). The intervals d -+ c s sqrt(...) then hold together, and a slice is shown
where its own excludes 0. Unlike the correction of Bonferroni or Holm this knows that slices overlap.

After SliceFinder (Chung et al., ICDE 2019) and SliceLine (Sagadeeva & Boehm, SIGMOD 2021). Unlike theirs slices have at
most two columns, e is the metric's part of a row and not the loss, and what is tried is bounded by permutation and
not by false discovery rate or a score.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from motet.core.seed import generator
from motet.evaluation.interval import Floats, Interval
from motet.evaluation.rowwise import RowScores
from motet.evaluation.sampling import Sampling
from motet.evaluation.values import Values

LEAST_ROWS = 20
MOST_SHOWN = 8
MOST_COLUMNS = 15
PERMUTATIONS = 199
MOST_PERMUTED = 20_000
"""Of more rows so many, evenly spread, tell how large |z| is by chance."""
LEAST_SHARE = 0.01
AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows where each column of `where` has its value; `by` is the metric, and `difference` the metric there minus
    that on all other rows.
    """

    where: Sequence[tuple[str, str]]
    rows: int
    by: str
    metric: Interval
    difference: Interval


@dataclass(frozen=True, slots=True)
class _Tried:
    where: tuple[tuple[str, str], ...]
    inside: np.ndarray


def slices(scores: RowScores, columns: Mapping[str, Values], *, sampling: Sampling) -> tuple[Slice, ...]:
    """The bad slices of N rows, worst first, at most 8; of the first 15 columns, with at least 20 rows, and
    a hundredth of all, in and outside.

    A slice that is bad only for the rows it shares with another, whose evidence is stronger, is not shown. Where rows
    come in groups, s^2 is the sum over groups of (sum of e - mean e)^2, over N, if that is larger: as if groups lay
    wholly inside or outside of slices.

    >>> values = {"shop": Values(("north", "south"), np.arange(200) % 2)}
    >>> right = RowScores("accuracy", np.where(np.arange(200) % 4 == 1, 0.0, 1.0), True)
    >>> [found] = slices(right, values, sampling=Sampling(seed=0))
    >>> found.where, found.metric.value, found.difference.value
    ((('shop', 'south'),), 0.5, -0.5)
    """
    bad = -scores.values if scores.higher_is_better else scores.values
    tried = list(_tried(dict(list(columns.items())[:MOST_COLUMNS]), len(bad)))
    if not tried or bad.min() == bad.max():
        return ()
    factor = _bound(tried, bad, sampling) * _spread(bad, sampling.groups)
    errors = np.array([factor * _root(one.inside) for one in tried])
    apart = np.array([_difference(bad, one.inside) for one in tried])
    found: list[Slice] = []
    rest = np.ones(len(bad), dtype=bool)
    for place in np.argsort(-apart / errors, kind="stable").tolist():
        if len(found) == MOST_SHOWN or apart[place] <= errors[place]:
            break
        if _still_bad(bad[rest], tried[place].inside[rest], factor):
            rest &= ~tried[place].inside
            found.append(_shown(scores, tried[place], float(errors[place]), sampling))
    return tuple(sorted(found, key=lambda one: -abs(one.difference.value)))


def _tried(columns: Mapping[str, Values], num_rows: int) -> Iterator[_Tried]:
    """Every value of a column, and every pair of values of two, with rows enough inside and outside."""
    least = max(LEAST_ROWS, LEAST_SHARE * num_rows)
    singles = {
        column: [
            _Tried(((column, name),), values.number == number)
            for number, name in enumerate(values.names)
            if least <= (values.number == number).sum() <= num_rows - least
        ]
        for column, values in columns.items()
    }
    for own in singles.values():
        yield from own
    for first, second in combinations(singles.values(), 2):
        for one in first:
            for other in second:
                inside = one.inside & other.inside
                if inside.sum() >= least and inside.sum() < min(one.inside.sum(), other.inside.sum()):
                    yield _Tried(one.where + other.where, inside)


def _bound(tried: Sequence[_Tried], bad: Floats, sampling: Sampling) -> float:
    """c: the ceil((P + 1) * level)-th smallest of what the largest |z| is in P permutations."""
    chosen = np.unique(np.linspace(0, len(bad) - 1, min(len(bad), MOST_PERMUTED)).astype(int))
    standard = (bad[chosen] - bad[chosen].mean()) / bad.std()
    draw = generator(sampling.seed, "slices", len(bad))
    shuffled = np.stack([draw.permutation(standard) for _ in range(PERMUTATIONS)], axis=1).astype(np.float32)
    largest = np.zeros(PERMUTATIONS)
    for start in range(0, len(tried), AT_ONCE):
        inside = np.stack([one.inside[chosen] for one in tried[start : start + AT_ONCE]])
        roots = np.array([_root(row) for row in inside])
        sums = inside.astype(np.float32) @ shuffled
        largest = np.maximum(largest, np.abs(sums * roots[:, None]).max(axis=0))
    rank = min(PERMUTATIONS, math.ceil((PERMUTATIONS + 1) * sampling.level))
    return float(np.sort(largest)[rank - 1])


def _root(inside: np.ndarray) -> float:
    """sqrt(1 / n + 1 / (N - n)); 0 where one side is empty."""
    count = int(inside.sum())
    return math.sqrt(1 / count + 1 / (len(inside) - count)) if 0 < count < len(inside) else 0.0


def _difference(bad: Floats, inside: np.ndarray) -> float:
    return float(bad[inside].mean() - bad[~inside].mean())


def _spread(bad: Floats, groups: np.ndarray | None) -> float:
    """s: the deviation of rows, or that which sums over groups have, if that is larger."""
    apart = bad - bad.mean()
    alone = float((apart**2).mean())
    if groups is None:
        return math.sqrt(alone)
    number = np.unique(groups, return_inverse=True)[1].reshape(-1)
    return math.sqrt(max(alone, float((np.bincount(number, apart) ** 2).sum()) / len(bad)))


def _still_bad(bad: Floats, inside: np.ndarray, factor: float) -> bool:
    """Whether what is left of a slice is bad by itself."""
    enough = inside.sum() >= LEAST_ROWS and not inside.all()
    return bool(enough) and _difference(bad, inside) > factor * _root(inside)


def _shown(scores: RowScores, one: _Tried, error: float, sampling: Sampling) -> Slice:
    rows = np.flatnonzero(one.inside)
    own = RowScores(scores.metric, scores.values[rows], scores.higher_is_better)
    apart = _difference(scores.values, one.inside)
    metric = sampling.among(rows).of(own.judge, len(rows))
    return Slice(one.where, len(rows), scores.metric, metric, Interval(apart, apart - error, apart + error))
