"""Which subsets of the inputs are asked, and what each one's score weighs in the Shapley values.

The Shapley value of input m (Shapley 1953) is its gain, averaged over all orders in which the M inputs could have
joined,

    phi_m = sum over S without m of |S|! (M - |S| - 1)! / M! * (v(S + m) - v(S)),

so that the values of all inputs sum to v(all) - v(none). Up to six inputs every subset is asked. With more, a few
orders are drawn, each with its reverse, and phi_m is the mean of m's gains in them (Castro, Gomez & Tejada, Computers &
Operations Research 2009; antithetic pairs as in Mitchell et al., JMLR 2022): the gains of each order sum to
v(all) - v(none), so their mean does too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from jaxtyping import Float

from motet.core.seed import generator

MOST_FOR_ALL_SUBSETS = 6
LEAST_PAIRS, SUBSETS_BY_CHANCE = 3, 64
Subset = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """S subsets to ask, the empty and the whole one and each input alone among them, and the weights of their scores.

    `weights[p, m] @ scores` estimates the Shapley value of input m, in sorted order, from the p-th pair of orders;
    where all subsets are asked there is one p, and it is exact.
    """

    inputs: tuple[str, ...]
    subsets: tuple[Subset, ...]
    weights: Float[np.ndarray, "P M S"]

    @property
    def method(self) -> Literal["shapley", "sampled"]:
        """Whether all subsets are asked, or those of drawn orders."""
        return "shapley" if len(self.inputs) <= MOST_FOR_ALL_SUBSETS else "sampled"


def plan_of(inputs: Sequence[str], *, seed: int) -> Plan:
    """All subsets up to six inputs; with more, those of orders drawn by `seed`, and each input alone.

    >>> plan = plan_of(["b", "a"], seed=0)
    >>> plan.subsets, plan.weights[0, 0].tolist()
    (((), ('a',), ('b',), ('a', 'b')), [-0.5, 0.5, -0.5, 0.5])
    """
    names = tuple(sorted(inputs))
    if len(names) <= MOST_FOR_ALL_SUBSETS:
        subsets = tuple(subset for size in range(len(names) + 1) for subset in combinations(names, size))
        return Plan(names, subsets, _exact(names, subsets)[None])
    pairs = _pairs(names, seed)
    asked = {subset for pair in pairs for order in pair for subset in _joining(order)}
    asked |= {(name,) for name in names}
    subsets = tuple(sorted(asked, key=lambda subset: (len(subset), subset)))
    return Plan(names, subsets, np.stack([_of_orders(names, subsets, pair) for pair in pairs]))


def _pairs(names: Sequence[str], seed: int) -> list[tuple[list[str], list[str]]]:
    count = max(LEAST_PAIRS, SUBSETS_BY_CHANCE // (2 * (len(names) - 1)))
    draw = generator(seed, "orders", *names)
    orders = [[names[place] for place in draw.permutation(len(names))] for _ in range(count)]
    return [(order, order[::-1]) for order in orders]


def _joining(order: Sequence[str]) -> list[Subset]:
    """The subsets that there are while the inputs join in this order."""
    return [tuple(sorted(order[:size])) for size in range(len(order) + 1)]


def _of_orders(
    names: Sequence[str], subsets: Sequence[Subset], orders: Sequence[Sequence[str]]
) -> Float[np.ndarray, "M S"]:
    place = {subset: index for index, subset in enumerate(subsets)}
    weights = np.zeros((len(names), len(subsets)))
    for order in orders:
        joining = _joining(order)
        for name, before, after in zip(order, joining, joining[1:], strict=False):
            weights[names.index(name), place[after]] += 1 / len(orders)
            weights[names.index(name), place[before]] -= 1 / len(orders)
    return weights


def _exact(names: Sequence[str], subsets: Sequence[Subset]) -> Float[np.ndarray, "M S"]:
    num = len(names)
    weights = np.zeros((num, len(subsets)))
    for index, name in enumerate(names):
        for column, subset in enumerate(subsets):
            others = len(subset) - (name in subset)
            share = math.factorial(others) * math.factorial(num - others - 1) / math.factorial(num)
            weights[index, column] = share if name in subset else -share
    return weights
