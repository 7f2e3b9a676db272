"""What throttles have in common: the losses of the single-input heads, and how well each input does by itself.

B rows of a batch.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from motet.balance.throttle import TokensByInput
from motet.balance.witness import ByTask, Witness
from motet.core.flow import Tokens

Counted = Mapping[str, Mapping[str, Bool[Tensor, "B"]]]


def detached(tokens: TokensByInput) -> dict[str, Tokens]:
    """The same tokens; heads that read these teach no encoder."""
    return {name: replace(one, values=one.values.detach()) for name, one in sorted(tokens.items())}


def single_terms(witness: Witness) -> dict[str, Float[Tensor, ""]]:
    """The loss of every single-input head, on the footing of its task's own: `scale * sum over rows`.

    An input that many rows lack counts less, in proportion; one that no labelled row of the batch has adds 0.
    """
    return {
        f"{task}/{name} alone": witness.scale[task] * rows.sum()
        for name, tasks in sorted(witness.losses.items())
        for task, rows in sorted(tasks.items())
    }


def scores(witness: Witness) -> dict[str, float]:
    """How well each input does by itself: the mean over tasks of the mean over counted rows of `exp(-loss)`.

    For a cross-entropy that is exactly the probability of the true label, the score of Peng et al. (CVPR 2022); for
    several labels at once the geometric mean of their probabilities; for a squared error the likelihood of the true
    value under a Gaussian, not normalised. Always 1 where the loss is 0 and falling to 0, so it can be averaged over
    tasks and compared between any number of inputs.
    """
    found = {
        name: {task: torch.exp(-rows.detach().float()) for task, rows in tasks.items()}
        for name, tasks in witness.losses.items()
    }
    return mean_by_input(found, witness.counted)


def mean_by_input(values: Mapping[str, ByTask], counted: Counted) -> dict[str, float]:
    """For each input, sorted by name, the mean over tasks of the mean over counted rows of `values[input][task]`.

    A task without a counted row, or whose mean is not finite, is left out; so is an input without any task left.

    >>> rows = {"photo": {"a": torch.tensor([1.0, 3.0, 9.0]), "b": torch.tensor([4.0, 0.0, 0.0])}}
    >>> mean_by_input(rows, {"photo": {"a": torch.tensor([1, 1, 0]) > 0, "b": torch.tensor([1, 0, 0]) > 0}})
    {'photo': 3.0}
    """
    pairs = [(name, task) for name in sorted(values) for task in sorted(values[name])]
    if not pairs:
        return {}
    means = torch.stack([_mean(values[name][task], counted[name][task]) for name, task in pairs])
    kept: dict[str, list[float]] = {}
    for (name, _), mean, finite in zip(pairs, means.tolist(), means.isfinite().tolist(), strict=True):
        if finite:
            kept.setdefault(name, []).append(mean)
    return {name: sum(found) / len(found) for name, found in kept.items()}


def _mean(values: Float[Tensor, "B"], counted: Bool[Tensor, "B"]) -> Float[Tensor, ""]:
    """NaN where nothing counts."""
    return torch.where(counted, values.double(), 0.0).sum() / counted.sum()
