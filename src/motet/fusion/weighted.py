"""A weighted sum of the inputs, with weights on the simplex."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.project import Projections, one_stream, pooled, presence
from motet.fusion.shares import simplex
from motet.nn.dropout import Dropout
from motet.nn.named import Named
from motet.nn.pooling import hide
from motet.nn.scalars import NamedScalars


class Weighted(FusionSpec):
    """A sum of the inputs with learned weights that add up to one over those present.

    >>> Weighted(width=16).build({"photo": 8, "review": 4}).output_width
    16
    """

    kind: Literal["weighted"] = "weighted"
    width: int = Field(default=128, gt=0, description="Width of the fused vector.")
    per_row: bool = Field(
        default=False, description="Predict the weights from each row instead of learning one set for all."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the fused vector.")

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "WeightedFusion":
        """Takes inputs of any number and width."""
        return WeightedFusion(input_widths, width=self.width, per_row=self.per_row, dropout=self.dropout)


class WeightedFusion(Fusion):
    """`h = sum_m a_m P_m x_m`, `a = softmax(l)` over the inputs present, x_m the mean token of input m.

    l_m is a learned number, 0 at first, or with `per_row` a linear function of P_m x_m. An absent input has weight
    exactly 0. In a row without any input the learned absent tokens are averaged.

    >>> present = torch.tensor([True, False])
    >>> photo = Tokens(torch.zeros(2, 1, 8), torch.ones(2, 1, dtype=torch.bool), present)
    >>> WeightedFusion({"photo": 8}, width=16)({"photo": photo})["joint"].present
    tensor([ True, False])
    """

    def __init__(
        self, input_widths: Mapping[str, int], *, width: int = 128, per_row: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.output_width = width
        self.exact = True
        self.streams = ("joint",)
        self.inputs = tuple(sorted(input_widths))
        self.project = Projections(input_widths, width=width)
        self.score = Named({name: nn.Linear(width, 1) for name in self.inputs}) if per_row else None
        self.logits = None if per_row else NamedScalars(self.inputs)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        present = presence(tokens)
        vectors = self._vectors(tokens, heard=present | ~present.any(dim=1, keepdim=True))
        shares = simplex(self._logits(vectors), present)
        fused = self.dropout((shares[:, :, None] * torch.stack(list(vectors.values()), dim=1)).sum(dim=1))
        return one_stream(fused, tokens)

    def _vectors(self, tokens: Mapping[str, Tokens], *, heard: Bool[Tensor, "B M"]) -> dict[str, Float[Tensor, "B W"]]:
        """`P_m x_m`; what is not heard is 0 before it is mapped, since a share of 0 would keep NaN."""
        columns = zip(self.project.maps.items(), heard.unbind(dim=1), strict=True)
        return {name: linear(hide(pooled(tokens[name]), column)) for (name, linear), column in columns}

    def _logits(self, vectors: Mapping[str, Float[Tensor, "B W"]]) -> Float[Tensor, "*B M"]:
        if self.score is not None:
            return torch.cat([self.score[name](vectors[name]) for name in self.inputs], dim=1)
        assert self.logits is not None
        logits: Tensor = self.logits(self.inputs)
        return logits
