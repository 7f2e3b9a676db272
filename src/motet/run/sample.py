"""Which of the scored rows are looked into: not all, and none torn from the rows that it is compared with."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from motet.core.seed import generator
from motet.run.scored import Scored, numbered


@dataclass(frozen=True, slots=True)
class Sample:
    """`places` among the scored rows, n of them in an order of chance; `turns` number the unit of each.

    A unit is a row, or a group whose rows are only compared with each other. Units are numbered as they come.
    """

    places: Int64[np.ndarray, "n"]
    turns: Int64[np.ndarray, "n"]

    def first(self, count: int) -> Int64[np.ndarray, "k"]:
        """Which of the n, by number, are the first `count`: of whole units, so that the last may make them more.

        >>> Sample(np.array([8, 3, 9, 2]), np.array([0, 1, 0, 2])).first(1).tolist()
        [0, 2]
        """
        sizes = np.bincount(self.turns, minlength=1)
        before = np.cumsum(sizes) - sizes
        return np.flatnonzero(before[self.turns] < count)


def sample_of(units: Int64[np.ndarray, "N"], count: int, *, seed: int) -> Sample:
    """About `count` of N rows: whole units, evenly spread over all of them; `units` number that of each row.

    >>> sample_of(np.array([0, 0, 1, 1, 2, 2]), 4, seed=0).places.tolist()
    [1, 4, 5, 0]
    """
    turns, count = _as_they_come(units), min(count, len(units))
    num_units = int(turns.max(initial=-1)) + 1
    chosen = np.linspace(0, num_units - 1, math.ceil(count * num_units / max(1, len(units)))).astype(np.int64)
    places = generator(seed, "contribution rows").permutation(np.flatnonzero(np.isin(turns, chosen)))
    return Sample(places, _as_they_come(units[places]))


def units_of(scored: Scored) -> Int64[np.ndarray, "N"]:
    """The group of each scored row where a task compares the rows of a group, as a ranking does; else the row itself.

    All such tasks have one column of groups, or they could not be trained together.
    """
    columns = {spec.batched_by for spec, _ in scored.fitted.tasks.values()} - {None}
    if not columns:
        return np.arange(len(scored.rows))
    return numbered(scored.fitted.table.cells((min(map(str, columns)),), rows=scored.rows), alone=True)


def _as_they_come(units: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
    """The same units, numbered by when each is first met."""
    _, first, unit = np.unique(units, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[unit]
