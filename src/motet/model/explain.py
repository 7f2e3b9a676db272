"""Why the network answers a row so: what each of its inputs adds to a number that speaks for the answer.

B rows, M inputs in sorted order; a *worth* is a number of each row.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from motet.core.flow import Batch, Tokens
from motet.model.explain_orders import orders_of
from motet.model.infer import Collected, collect
from motet.model.network import Network

Worth = Callable[[Tensor, Tensor], Tensor]
"""Outputs of some inputs and of all of them, `[n, ...]` each -> how much the former speak for what the latter answer,
`[n]`, differentiable in the former.
"""
Shares = dict[str, Float64[np.ndarray, "B M"]]
PAIRS_AT_ONCE = 256
"""Of a row and some of its inputs."""


def explained(
    network: Network, batches: Iterable[Batch], worths: Mapping[str, Worth]
) -> tuple[Collected, dict[str, dict[str, Float64[np.ndarray, "B"]]]]:
    """What `collect` gives, and by task and input the contribution to each row's answer, NaN where the input is absent.

    See `shares`. Inputs are encoded once for both.
    """
    if not worths:
        return collect(network, batches)[0], {}
    seen: dict[str, Tokens] = {}
    found: list[Shares] = []

    def watched() -> Iterable[Batch]:
        for batch in batches:
            yield batch  # whoever asks for the next one has encoded this one
            assert all(len(one.present) == len(batch.rows) for one in seen.values())
            found.append(shares(network, dict(seen), worths))

    hooks = [one.register_forward_hook(partial(_keep, seen, name)) for name, one in network.encoders.items()]
    try:
        collected = collect(network, watched())[0]
    finally:
        for hook in hooks:
            hook.remove()
    whole = {task: np.concatenate([part[task] for part in found]) for task in worths}
    names = sorted(seen)
    return collected, {task: dict(zip(names, one.T, strict=True)) for task, one in whole.items()}


@torch.no_grad()
def shares(network: Network, tokens: Mapping[str, Tokens], worths: Mapping[str, Worth]) -> Shares:
    """The Shapley value of each present input in the worth of B encoded rows, NaN where it is absent.

        phi_m = sum over S without m of |S|! (P - |S| - 1)! / P! * (v(S + m) - v(S))        P inputs that the row has

    Shapley, 1953; v(S) is the worth of what is answered from the inputs S alone, those that the row lacks being absent
    throughout. With more than six of them it is the mean over 16 orders and the same reversed (Mitchell et al., JMLR
    2022); in either case the contributions of a row sum to v(all) - v(none).
    """
    present = torch.stack([tokens[name].present for name in sorted(tokens)], dim=1).cpu().numpy()
    answered = worth_outputs(network, tokens, worths)
    found = {task: np.full(present.shape, np.nan) for task in worths}
    for pattern in np.unique(present, axis=0):
        rows, there = np.flatnonzero((present == pattern).all(axis=1)), np.flatnonzero(pattern)
        subsets, weights = orders_of(len(there))
        kept = np.zeros((len(subsets), len(pattern)), dtype=bool)
        kept[:, there] = subsets
        values = _values(network, tokens, rows, kept, answered, worths)
        for task, worth in values.items():
            found[task][np.ix_(rows, there)] = worth @ weights
    return found


def worth_outputs(network: Network, tokens: Mapping[str, Tokens], tasks: Iterable[str]) -> dict[str, Tensor]:
    """The outputs of these tasks, all of them about whole rows; tasks that read parts, or write, are not asked."""
    decided = network.decide(tokens, targets={})
    return {task: decided[task].output for task in tasks}


def _values(
    network: Network,
    tokens: Mapping[str, Tokens],
    rows: np.ndarray,
    kept: Bool[np.ndarray, "S M"],
    answered: Mapping[str, Tensor],
    worths: Mapping[str, Worth],
) -> dict[str, Float64[np.ndarray, "n S"]]:
    """The worth of n rows with each of S subsets of their inputs."""
    device = next(iter(tokens.values())).present.device
    row, subset = np.repeat(rows, len(kept)), np.tile(np.arange(len(kept)), len(rows))
    found: dict[str, list[Tensor]] = {task: [] for task in worths}
    for start in range(0, len(row), PAIRS_AT_ONCE):
        chosen = torch.from_numpy(row[start : start + PAIRS_AT_ONCE]).to(device)
        hidden = torch.from_numpy(~kept[subset[start : start + PAIRS_AT_ONCE]]).to(device)
        outputs = worth_outputs(network, _hidden(network, tokens, chosen, hidden), worths)
        for task, worth in worths.items():
            found[task].append(worth(outputs[task].double(), answered[task][chosen].double()))
    return {task: torch.cat(parts).view(-1, len(kept)).cpu().numpy() for task, parts in found.items()}


def _hidden(
    network: Network, tokens: Mapping[str, Tokens], rows: Tensor, hidden: Bool[Tensor, "n M"]
) -> dict[str, Tokens]:
    """These rows, each without the inputs that are hidden there."""
    names: Sequence[str] = sorted(tokens)
    return {
        name: network.encoders[name].hide(tokens[name].rows(rows), hidden[:, column])
        for column, name in enumerate(names)
    }


def _keep(seen: dict[str, Tokens], name: str, module: Any, given: Any, tokens: Tokens) -> None:
    seen[name] = tokens
