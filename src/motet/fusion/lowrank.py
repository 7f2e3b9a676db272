"""One factor of every input, multiplied channel by channel."""

import math
from collections.abc import Mapping
from functools import reduce
from operator import mul
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.project import one_stream, pooled
from motet.nn.dropout import Dropout
from motet.nn.named import Named
from motet.nn.pooling import hide


class LowRank(FusionSpec):
    """The outer product of all inputs with weights of low rank, so that it is never formed: low-rank fusion.

    >>> LowRank(width=16).build({"photo": 8, "review": 4}).output_width
    16
    """

    kind: Literal["lowrank"] = "lowrank"
    paper: ClassVar[str] = "Liu et al., Efficient Low-rank Multimodal Fusion with Modality-Specific Factors, ACL 2018"
    width: int = Field(default=128, gt=0, description="Width of the fused vector.")
    rank: int = Field(default=4, gt=0, description="How many products of factors are summed.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the fused vector.")

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "LowRankFusion":
        """Takes inputs of any number and width."""
        return LowRankFusion(input_widths, width=self.width, rank=self.rank, dropout=self.dropout)


class LowRankFusion(Fusion):
    """`h = sum_r w_r prod_m W_m^r [x_m; 1] + b`, r up to `rank`, x_m the mean token of input m.

    An absent input's factor is exactly 1: it leaves the product. In a row without any input h is `sum_r w_r + b`.

    For x of unit variance each factor begins with a second moment of 1, and so does a product of any number: the
    weights of x give 1/(M+1) of it and that of the 1 in `[x_m; 1]` the rest, so that a product of many begins as one of
    few. With factors that begin as in the paper's code (Xavier) the products of eight inputs vanish.

    Liu et al., ACL 2018. Deviations: how weights begin, and absent inputs, of which the paper does not speak.

    >>> present = torch.tensor([True, False])
    >>> photo = Tokens(torch.ones(2, 1, 8), torch.ones(2, 1, dtype=torch.bool), present)
    >>> LowRankFusion({"photo": 8}, width=2)({"photo": photo})["joint"].pooled[1]
    tensor([2., 2.], grad_fn=<SelectBackward0>)
    """

    def __init__(
        self, input_widths: Mapping[str, int], *, width: int = 128, rank: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.output_width = width
        self.exact = True
        self.streams = ("joint",)
        self.inputs = tuple(sorted(input_widths))
        self.rank = rank
        self.factors = Named(
            {name: _factor(input_widths[name], width * rank, num_inputs=len(self.inputs)) for name in self.inputs}
        )
        self.weight = nn.Parameter(torch.full((rank,), 1 / math.sqrt(rank)))
        self.bias = nn.Parameter(torch.zeros(width))
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        factors = [self._factor(name, tokens[name]) for name in self.inputs]
        products = reduce(mul, factors).reshape(-1, self.rank, self.output_width)
        fused = self.dropout((self.weight[:, None] * products).sum(dim=1) + self.bias)
        return one_stream(fused, tokens)

    def _factor(self, name: str, one: Tokens) -> Float[Tensor, "B R*W"]:
        """`W_m^r [x_m; 1]` of all ranks side by side; 1 where the input is absent."""
        factor = self.factors[name](hide(pooled(one), one.present))
        return torch.where(one.present[:, None], factor, 1.0)


def _factor(input_width: int, width: int, *, num_inputs: int) -> nn.Linear:
    """`W x + c`, its second moment 1 for x of unit variance."""
    linear = nn.Linear(input_width, width)
    share = 1 / (num_inputs + 1)
    nn.init.normal_(linear.weight, std=math.sqrt(share / input_width))
    nn.init.normal_(linear.bias, std=math.sqrt(1 - share))
    return linear
