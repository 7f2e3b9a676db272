"""What each input adds to a value that depends on which inputs are there: the Shapley value.

B rows of a batch, M inputs.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations

from jaxtyping import Float
from torch import Tensor

from motet.balance.witness import ByTask

MOST_EXACT = 4
"""Up to so many inputs every subset is asked for."""


def shapley(
    names: Sequence[str], value: Callable[[frozenset[str]], ByTask]
) -> dict[str, dict[str, Float[Tensor, "B"]]]:
    """`phi_m = sum over S without m of |S|! (M - |S| - 1)! / M! * (v(S + m) - v(S))`, by input and task, row by row.

    Shapley, 1953. `value` is asked once for each subset, `2^M` in all. From five inputs on the sum is replaced by the
    mean of its first and its last step, being alone and being left out: `(v(m) - v() + v(all) - v(all but m)) / 2`,
    `2 M + 2` values; for two inputs both are the same. An input that a row lacks adds nothing there.

    >>> import torch
    >>> worth = {frozenset(): 0.0, frozenset("a"): 1.0, frozenset("b"): 2.0, frozenset("ab"): 5.0}
    >>> shapley(["a", "b"], lambda names: {"task": torch.tensor([worth[names]])})
    {'a': {'task': tensor([2.])}, 'b': {'task': tensor([3.])}}
    """
    ordered = sorted(names)
    known = cache(value)
    steps = _every_step if len(ordered) <= MOST_EXACT else _first_and_last
    found: dict[str, dict[str, Tensor]] = {}
    for name in ordered:
        rest = [other for other in ordered if other != name]
        parts = [(weight, known(before | {name}), known(before)) for weight, before in steps(rest)]
        found[name] = {
            task: sum(
                (weight * (after[task] - before[task]) for weight, after, before in parts[1:]), _first(parts, task)
            )
            for task in sorted(parts[0][1])
        }
    return found


def _first(parts: list[tuple[float, ByTask, ByTask]], task: str) -> Tensor:
    weight, after, before = parts[0]
    return weight * (after[task] - before[task])


def _every_step(rest: list[str]) -> list[tuple[float, frozenset[str]]]:
    """The subsets of the other inputs, and how many of the orders of all inputs begin with just these."""
    total = math.factorial(len(rest) + 1)
    return [
        (math.factorial(size) * math.factorial(len(rest) - size) / total, frozenset(subset))
        for size in range(len(rest) + 1)
        for subset in combinations(rest, size)
    ]


def _first_and_last(rest: list[str]) -> list[tuple[float, frozenset[str]]]:
    return [(0.5, frozenset()), (0.5, frozenset(rest))]
