"""Shares in a sum or a decision: points of the simplex over what is present.

B rows, M inputs or streams.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from motet.core.checks import did_you_mean
from motet.core.errors import SpecError
from motet.nn.scalars import NamedScalars


def simplex(logits: Float[Tensor, "*B M"], present: Bool[Tensor, "B M"]) -> Float[Tensor, "B M"]:
    """Softmax over what is present, exactly 0 elsewhere; uniform in a row where nothing is.

    >>> simplex(torch.zeros(3), torch.tensor([[True, True, False], [False, False, False]])).tolist()
    [[0.5, 0.5, 0.0], [0.3333333432674408, 0.3333333432674408, 0.3333333432674408]]
    """
    heard = logits.masked_fill(~present, -math.inf)
    return heard.masked_fill(~present.any(dim=-1, keepdim=True), 0.0).softmax(dim=-1)


class DecisionShares(nn.Module):
    """How much each stream counts in the joint decision: equally, as learned, or as given.

    >>> shares = DecisionShares(["photo", "review"], weights={"photo": 4.0, "review": 4.0})
    >>> shares(torch.tensor([[True, True], [False, True]])).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """

    def __init__(
        self, streams: Sequence[str], *, weights: Literal["mean", "learned"] | Mapping[str, float] = "mean"
    ) -> None:
        super().__init__()
        self.streams = tuple(streams)
        self.learned = NamedScalars(streams) if weights == "learned" else None
        self.fixed = [0.0] * len(streams) if isinstance(weights, str) else _log_weights(weights, self.streams)

    def forward(self, present: Bool[Tensor, "B S"]) -> Float[Tensor, "B S"]:
        """The share of each stream, over those present, columns in the order of `streams`."""
        if self.learned is None:
            return simplex(torch.tensor(self.fixed, device=present.device), present)
        return simplex(self.learned(self.streams), present)


def _log_weights(weights: Mapping[str, float], streams: Sequence[str]) -> list[float]:
    for name in weights:
        if name not in streams:
            raise SpecError(f"fusion.weights: there is no stream {name!r}{did_you_mean(name, streams)}")
    without = [stream for stream in streams if stream not in weights]
    if without:
        raise SpecError(f"fusion.weights: give every stream a weight; {', '.join(without)} has none")
    return [math.log(weights[stream]) for stream in streams]
