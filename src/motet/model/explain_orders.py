"""Which subsets of some inputs are asked, and with what weight each counts for each input: the Shapley value, linear.

P inputs, S subsets.
"""

import math
from functools import cache

import numpy as np
from jaxtyping import Bool, Float64

from motet.core.seed import generator

MOST_EXACT = 6
"""Up to so many inputs every subset is asked, 64 at most."""
NUM_ORDERS = 16
"""Of more inputs; each counts reversed too."""


@cache
def orders_of(num: int) -> tuple[Bool[np.ndarray, "S P"], Float64[np.ndarray, "S P"]]:
    """Subsets and weights: `phi_m = sum_S w_Sm v(S)`.

    Every subset for up to six inputs: `w_Sm = (|S| - 1)! (P - |S|)! / P!` with m in S, `- |S|! (P - |S| - 1)! / P!`
    without it. For more the first inputs of 32 orders: an input counts as what the worth rises by where it joins. They
    are drawn once, the same for every row.

    >>> subsets, weights = orders_of(2)
    >>> subsets.astype(int).tolist(), weights.tolist()
    ([[0, 0], [1, 0], [0, 1], [1, 1]], [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]])
    """
    return _every_subset(num) if num <= MOST_EXACT else _of_orders(_drawn(num))


def _every_subset(num: int) -> tuple[np.ndarray, np.ndarray]:
    subsets = (np.arange(2**num)[:, None] >> np.arange(num)) % 2 == 1
    size = subsets.sum(axis=1)
    joined = np.array([math.factorial(max(0, s - 1)) * math.factorial(num - s) for s in size]) / math.factorial(num)
    left = np.array([math.factorial(s) * math.factorial(max(0, num - s - 1)) for s in size]) / math.factorial(num)
    return subsets, np.where(subsets, joined[:, None], -left[:, None])


def _drawn(num: int) -> list[np.ndarray]:
    chance = generator("orders of inputs", num)
    orders = [chance.permutation(num) for _ in range(NUM_ORDERS)]
    return [one for order in orders for one in (order, order[::-1])]


def _of_orders(orders: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    weights: dict[tuple[int, ...], np.ndarray] = {}
    for order in orders:
        for place, joining in enumerate(order):
            before, after = (tuple(sorted(order[:end].tolist())) for end in (place, place + 1))
            for subset, sign in ((before, -1), (after, 1)):
                weights.setdefault(subset, np.zeros(len(order)))[joining] += sign / len(orders)
    subsets = np.array([[one in subset for one in range(len(orders[0]))] for subset in weights])
    return subsets, np.stack(list(weights.values()))
