"""Inputs that scale and shift each other's channels."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from motet.core.checks import did_you_mean
from motet.core.errors import SpecError
from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.project import one_stream, pooled, presence
from motet.nn.dropout import Dropout
from motet.nn.named import Named
from motet.nn.pooling import hide, masked_mean


class FiLM(FusionSpec):
    """Inputs scale and shift the channels of one another: feature-wise linear modulation.

    >>> FiLM(width=16, conditioned="photo").build({"photo": 8, "review": 4}).conditioned
    ('photo',)
    """

    kind: Literal["film"] = "film"
    paper: ClassVar[str] = "Perez et al., FiLM: Visual Reasoning with a General Conditioning Layer, AAAI 2018"
    width: int = Field(default=128, gt=0, description="Width of the fused vector.")
    conditioned: str | None = Field(
        default=None, description="The one input that the others scale and shift; null: each in turn, averaged."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the fused vector.")

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "FiLMFusion":
        """Refuses to condition an input that is not there."""
        return FiLMFusion(input_widths, width=self.width, conditioned=self.conditioned, dropout=self.dropout)


class FiLMFusion(Fusion):
    """`h_m = y_m * prod_n (1 + gamma_mn(x_n)) + sum_n beta_mn(x_n)` over n != m; h is the mean of h_m.

    x_m is the mean token of input m, `y_m = P_m x_m`; gamma_mn and beta_mn are linear. The mean is over the inputs
    present; with `conditioned` h is h_m of that input alone. An absent n leaves product and sum, so that alone an input
    is itself, y_m; an absent m leaves the mean, or, where it is `conditioned`, has y_m = 0: the shifts remain. A row
    without any input is 0.

    The paper has one conditioner of one input, and its code too predicts how far a gain is from 1; product, sum and
    mean over several are ours. A gamma or beta begins smaller by the root of the number of conditioners, so that many
    do not make the product run away. There are maps for every pair of inputs, unless one is `conditioned`.

    Perez et al., AAAI 2018.

    >>> present = torch.tensor([True, False])
    >>> photo = Tokens(torch.ones(2, 1, 8), torch.ones(2, 1, dtype=torch.bool), present)
    >>> age = Tokens(torch.ones(2, 1, 4), torch.ones(2, 1, dtype=torch.bool), ~present)
    >>> FiLMFusion({"photo": 8, "age": 4}, width=16)({"photo": photo, "age": age})["joint"].present
    tensor([True, True])
    """

    def __init__(
        self,
        input_widths: Mapping[str, int],
        *,
        width: int = 128,
        conditioned: str | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.output_width = width
        self.exact = True
        self.streams = ("joint",)
        self.inputs = tuple(sorted(input_widths))
        self.alone = conditioned is not None
        self.conditioned = self.inputs if conditioned is None else (conditioned,)
        if conditioned is not None and conditioned not in self.inputs:
            nearest = did_you_mean(conditioned, self.inputs)
            raise SpecError(f"fusion.conditioned: there is no input {conditioned!r}{nearest}")
        self.project = Named({name: nn.Linear(input_widths[name], width) for name in self.conditioned})
        self.modulate = Named({name: _conditioners(input_widths, name, width=width) for name in self.conditioned})
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        present = {name: tokens[name].present for name in self.inputs}
        vectors = {name: hide(pooled(tokens[name]), present[name]) for name in self.inputs}
        modulated = torch.stack([self._modulated(name, vectors, present) for name in self.conditioned], dim=1)
        there = presence(tokens)
        known = there.any(dim=1)
        fused = masked_mean(modulated, known[:, None] if self.alone else there)
        return one_stream(self.dropout(fused), tokens)

    def _modulated(
        self, name: str, vectors: Mapping[str, Float[Tensor, "B D"]], present: Mapping[str, Tensor]
    ) -> Float[Tensor, "B W"]:
        """`h_m`; without the input itself, its shifts."""
        scaled = hide(self.project[name](vectors[name]), present[name])
        shift = torch.zeros_like(scaled)
        for other, linear in self.modulate[name].items():
            gamma, beta = hide(linear(vectors[other]), present[other]).chunk(2, dim=1)
            scaled, shift = scaled * (1 + gamma), shift + beta
        return scaled + shift


def _conditioners(input_widths: Mapping[str, int], name: str, *, width: int) -> Named[nn.Linear]:
    """Gamma and beta, side by side, of every other input."""
    maps = {other: nn.Linear(size, 2 * width) for other, size in sorted(input_widths.items()) if other != name}
    with torch.no_grad():
        for linear in maps.values():
            linear.weight.div_(math.sqrt(len(maps)))
            linear.bias.div_(math.sqrt(len(maps)))
    return Named(maps)
