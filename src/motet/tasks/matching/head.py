"""A vector for each side, of length 1.

Shapes: B rows, T tokens of an input, d their width, E width of the vectors.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from motet.core.flow import Cells, Tokens
from motet.nn import MLP, Dropout, hide, masked_mean
from motet.nn.contrast import LARGEST
from motet.nn.named import Named
from motet.tasks.part import PartHead, Reading


class MatchingHead(PartHead):
    """The tokens of each side, pooled and projected, `u = P x / |P x|`; the logit of a pair is `t u . v + b`.

    `scale` is log t, learned and clipped at log 100 before each use; b is learned where there is a `bias`. What the
    loss takes, `[B, 2, E]`, holds both, so that a logit is the product of two vectors: sqrt(t) u and sqrt(t) v, and
    with a bias one place more, 1 and b.

    >>> import math
    >>> head = MatchingHead({"photo": 6, "text": 4}, between=("photo", "text"), width=3, scale=math.log(10))
    >>> photo = Tokens(torch.randn(2, 5, 6), torch.ones(2, 5, dtype=torch.bool), torch.ones(2, dtype=torch.bool))
    >>> text = Tokens(torch.randn(2, 1, 4), torch.ones(2, 1, dtype=torch.bool), torch.tensor([True, False]))
    >>> head.answer(Reading(torch.zeros(2, 1), {"photo": photo, "text": text})).norm(dim=2).detach().round()
    tensor([[1., 1.],
            [1., 0.]])
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        between: Sequence[str],
        width: int,
        layers: int = 0,
        pool: Literal["mean", "attention"] = "mean",
        dropout: float = 0.0,
        scale: float,
        bias: float | None = None,
    ) -> None:
        super().__init__()
        self.between = tuple(between)
        self.sides = Named(
            {
                name: Side(widths[name], width=width, layers=layers, pool=pool, dropout=dropout)
                for name in sorted(between)
            }
        )
        self.scale = nn.Parameter(torch.tensor(float(scale)))
        self.bias = None if bias is None else nn.Parameter(torch.tensor(float(bias)))

    def forward(self, reading: Reading, target: Cells) -> Float[Tensor, "B 2 E"]:
        """Vectors whose products are logits."""
        with torch.no_grad():
            self.scale.clamp_(max=LARGEST)
        vectors = self._vectors(reading).float() * (self.scale / 2).exp()
        if self.bias is None:
            return vectors
        beside = torch.stack([torch.ones_like(self.bias), self.bias]).view(1, 2, 1).expand(len(vectors), 2, 1)
        return torch.cat([vectors, beside], dim=2)

    def answer(self, reading: Reading) -> Float[Tensor, "B 2 E"]:
        """Vectors of length 1; zeros for a side that is absent."""
        there = torch.stack([reading.tokens[name].present for name in self.between], dim=1)
        return torch.where(there[:, :, None], self._vectors(reading), 0.0)

    def start_from(self, prior: Tensor) -> None:
        """Nothing: without an input there is nothing to compare."""

    def _vectors(self, reading: Reading) -> Float[Tensor, "B 2 E"]:
        vectors = [self.sides[name](reading.tokens[name]) for name in self.between]
        return F.normalize(torch.stack(vectors, dim=1), dim=2)


class Side(nn.Module):
    """Tokens pooled to `[B, d]`, dropout, projected to `[B, E]` by a perceptron, or with no hidden layer a linear map.

    "mean" is the mean token, "attention" `sum_t a_t x_t` with `a = softmax_t(w . x_t)`; w is learned, at first 0.

    >>> tokens = Tokens(torch.ones(2, 3, 4), torch.ones(2, 3, dtype=torch.bool), torch.ones(2, dtype=torch.bool))
    >>> Side(4, width=8, pool="attention")(tokens).shape
    torch.Size([2, 8])
    """

    def __init__(
        self,
        input_width: int,
        *,
        width: int,
        layers: int = 0,
        pool: Literal["mean", "attention"] = "mean",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.look = nn.Parameter(torch.zeros(input_width)) if pool == "attention" else None
        self.dropout = Dropout(dropout)
        self.project = MLP(input_width, hidden=[width] * layers, output_width=width, dropout=dropout)

    def forward(self, tokens: Tokens) -> Float[Tensor, "B E"]:
        """One vector for each row."""
        vector: Tensor = self.project(self.dropout(self._pooled(tokens)))
        return vector

    def _pooled(self, tokens: Tokens) -> Float[Tensor, "B d"]:
        if self.look is None:
            return masked_mean(tokens.values, tokens.mask)
        values = hide(tokens.values, tokens.mask)
        share = (values @ self.look).masked_fill(~tokens.mask, -torch.inf).softmax(dim=1)
        return (share[:, :, None] * values).sum(dim=1)
