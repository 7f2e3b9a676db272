"""Percentile bootstrap over rows: how far a score could lie elsewhere had other rows of the same kind been drawn."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from motet.core.seed import generator

Floats = NDArray[np.float64]
Judge = Callable[[Tensor], float]
"""Numbers of rows, repeated ones included, -> their score: what `Metric.of_rows` gives."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the bounds that hold it; NaN where it does not exist."""

    value: float
    low: float
    high: float


def difference(
    first: Judge, second: Judge, num_rows: int, *, seed: int, resamples: int = 200, level: float = 0.95
) -> Interval:
    """How much more the first scores than the second on the same N rows: each draw of rows judges both.

    >>> right, half = torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([1.0, 0.0, 1.0, 0.0])
    >>> difference(lambda rows: right[rows].mean().item(), lambda rows: half[rows].mean().item(), 4, seed=0).value
    0.5
    """
    every = torch.arange(num_rows)
    draws = [first(rows) - second(rows) for rows in resampled_rows(num_rows, seed=seed, resamples=resamples)]
    low, high = percentiles(np.array(draws, dtype=np.float64), level=level)
    return Interval(first(every) - second(every), low, high)


def resampled_rows(num_rows: int, *, seed: int, resamples: int) -> Iterator[Tensor]:
    """Index sets of `num_rows` rows drawn with replacement, the same ones for the same seed and number of rows.

    >>> [rows.tolist() for rows in resampled_rows(1, seed=0, resamples=2)]
    [[0], [0]]
    """
    draw = generator(seed, "bootstrap", num_rows)
    for _ in range(resamples if num_rows else 0):
        yield torch.from_numpy(draw.integers(num_rows, size=num_rows))


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
