"""Where each row's true partner comes among all there are to choose from, in either direction.

N rows, E width of the vectors, G candidates. In the first direction the first side of a row asks for its item among
all items, each as near as the nearest second side of its rows. In the second the second side of a row asks for a row of
its item among the first sides of all rows. A side that is absent (all zeros) neither asks nor is a candidate.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

Floats = Float64[np.ndarray, "N"]
PAIRS_AT_ONCE = 2**22
DECIMALS = 12  # of a similarity: sums taken in another order differ behind these


@dataclass(frozen=True, slots=True)
class Place:
    """How the best true candidate of each row stands among the others.

    `above` others are nearer than it, `beside` are exactly as near; `own` true ones are as near as the best, itself
    among them. In a row that has no answer `own` is 0. `last` is how many candidates there are if none is absent.
    """

    above: Int64[np.ndarray, "N"]
    beside: Int64[np.ndarray, "N"]
    own: Int64[np.ndarray, "N"]
    last: int

    def hits(self, k: int) -> Floats:
        """The probability that a true one is among the first k, those as near as each other in random order.

        `1 - prod_{j < s} (m - j) / (m + p - j)`: m others and p true ones share the best place, s of them are let in.

        >>> one = Place(above=np.array([4]), beside=np.array([3]), own=np.array([1]), last=9)
        >>> one.hits(4), one.hits(6)
        (array([0.]), array([0.5]))
        """
        let_in = np.maximum(k - self.above, 0)
        missed = np.ones(len(self.above))
        for j in range(min(k, int(let_in.max(initial=0)))):
            left = np.maximum(self.beside - j, 0) / np.maximum(self.beside + self.own - j, 1)
            missed = np.where(let_in > j, missed * left, missed)
        return np.where(self.own > 0, 1 - missed, 0.0)

    def ranks(self) -> Floats:
        """The rank of the best true one, from 1: its mean over all orders of those as near; last where none is found.

        >>> Place(above=np.array([4, 0]), beside=np.array([3, 0]), own=np.array([1, 0]), last=9).ranks()
        array([6.5, 9. ])
        """
        return np.where(self.own > 0, 1 + self.above + self.beside / (self.own + 1), float(self.last))


def places(vectors: Float64[np.ndarray, "N 2 E"], items: Int64[np.ndarray, "N"]) -> tuple[Place, Place]:
    """Both directions, for N rows about these items."""
    all_items, items = np.unique(items, return_inverse=True)
    items = items.reshape(-1)
    there = np.any(vectors != 0, axis=2)
    first, second = vectors[:, 0], vectors[:, 1]
    found = np.flatnonzero(there[:, 1])
    found = found[np.argsort(items[found], kind="stable")]
    kinds, starts = np.unique(items[found], return_index=True)
    nearest = _nearest_of_each(second[found], starts)
    others = np.flatnonzero(there[:, 0])
    asking = np.flatnonzero(there.all(axis=1))
    return (
        _placed(first, items, asking, nearest, kinds, last=len(all_items)),
        _placed(second, items, asking, lambda one: one @ first[others].T, items[others], last=len(items)),
    )


Near = Callable[[Float64[np.ndarray, "n E"]], Float64[np.ndarray, "n G"]]


def _nearest_of_each(vectors: Float64[np.ndarray, "M E"], starts: Int64[np.ndarray, "G"]) -> Near:
    """How near each item is: the nearest of its vectors, which stand together, from `starts` on."""
    if len(starts) == len(vectors):
        return lambda one: one @ vectors.T
    return lambda one: np.maximum.reduceat(one @ vectors.T, starts, axis=1)


def _placed(
    queries: Float64[np.ndarray, "N E"],
    items: Int64[np.ndarray, "N"],
    asking: Int64[np.ndarray, "n"],
    near: Near,
    candidates: Int64[np.ndarray, "G"],
    *,
    last: int,
) -> Place:
    """`candidates` are the items of those there are, `asking` the rows that look for theirs."""
    counts = np.zeros((3, len(queries)), dtype=np.int64)
    at_once = max(1, PAIRS_AT_ONCE // max(1, len(queries)))
    for start in range(0, len(asking), at_once):
        rows = asking[start : start + at_once]
        similar = near(queries[rows]).round(DECIMALS)
        own = items[rows, None] == candidates
        best = np.where(own, similar, -np.inf).max(axis=1, keepdims=True)
        counts[:, rows] = [
            (~own & (similar > best)).sum(axis=1),
            (~own & (similar == best)).sum(axis=1),
            (own & (similar == best)).sum(axis=1),
        ]
    return Place(above=counts[0], beside=counts[1], own=counts[2], last=last)
