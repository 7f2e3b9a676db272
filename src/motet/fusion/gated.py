"""A gate on every channel of every input, opened or closed by all of them."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.project import one_stream, pooled, presence
from motet.fusion.shares import simplex
from motet.nn.dropout import Dropout
from motet.nn.named import Named
from motet.nn.pooling import hide

Gates = Literal["sigmoid", "softmax"]


class Gated(FusionSpec):
    """A gate on every channel of every input, decided by all inputs of the row: the gated multimodal unit.

    >>> Gated(width=16).build({"photo": 8, "review": 4}).output_width
    16
    """

    kind: Literal["gated"] = "gated"
    paper: ClassVar[str] = "Arevalo et al., Gated Multimodal Units for Information Fusion, ICLR workshop, 2017"
    width: int = Field(default=128, gt=0, description="Width of the fused vector.")
    gates: Gates = Field(
        default="sigmoid",
        description="sigmoid: each gate by itself; softmax: in each channel the gates of the inputs add up to one.",
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the fused vector.")

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "GatedFusion":
        """Takes inputs of any number and width."""
        return GatedFusion(input_widths, width=self.width, gates=self.gates, dropout=self.dropout)


class GatedFusion(Fusion):
    """`h = sum_m g_m * tanh(V_m x_m)`, `g_m = sigmoid(W_m [x])`, x_m the mean token of input m, [x] all of them.

    Gates are softmax over the inputs, channel by channel, where `gates` says so. For two that is the paper's bimodal
    unit, `z * h_1 + (1 - z) * h_2`, with `z = sigmoid((W_1 - W_2) [x])`; the paper ties the gates of two inputs and
    leaves those of more untied. An absent input's term leaves the sum and its block leaves [x] in every gate. A row
    without any input is 0. Deviation: V_m and W_m have biases. There is a block for every pair of inputs.

    Arevalo et al., ICLR workshop, 2017.

    >>> present = torch.tensor([True, False])
    >>> photo = Tokens(torch.ones(2, 1, 8), torch.ones(2, 1, dtype=torch.bool), present)
    >>> GatedFusion({"photo": 8}, width=16)({"photo": photo})["joint"].pooled[1].abs().max().item()
    0.0
    """

    def __init__(
        self, input_widths: Mapping[str, int], *, width: int = 128, gates: Gates = "sigmoid", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.output_width = width
        self.exact = True
        self.streams = ("joint",)
        self.inputs = tuple(sorted(input_widths))
        self.gates = gates
        self.feature = Named({name: nn.Linear(input_widths[name], width) for name in self.inputs})
        self.gate = Named({name: _blocks(input_widths, width=width, bias=name) for name in self.inputs})
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        present = presence(tokens)
        vectors = {name: hide(pooled(tokens[name]), tokens[name].present) for name in self.inputs}
        features = torch.stack([self.feature[name](vectors[name]).tanh() for name in self.inputs], dim=2)
        opened = self._opened(vectors, present)
        fused = self.dropout(torch.where(present[:, None], opened * features, 0.0).sum(dim=2))
        return one_stream(fused, tokens)

    def _opened(
        self, vectors: Mapping[str, Float[Tensor, "B D"]], present: Bool[Tensor, "B M"]
    ) -> Float[Tensor, "B W M"]:
        """How far each gate is open."""
        logits = torch.stack([_mapped(blocks, vectors) for _, blocks in self.gate.items()], dim=2)
        return simplex(logits, present[:, None]) if self.gates == "softmax" else logits.sigmoid()


def _mapped(blocks: Named[nn.Linear], vectors: Mapping[str, Float[Tensor, "B D"]]) -> Float[Tensor, "B W"]:
    """`W [x] + b`: where an input is absent its vector is 0, and its block adds nothing."""
    return torch.stack([block(vectors[name]) for name, block in blocks.items()]).sum(dim=0)


def _blocks(input_widths: Mapping[str, int], *, width: int, bias: str) -> Named[nn.Linear]:
    """The blocks of `W [x] + b` under the inputs' names, so that it still is one without some of them."""
    blocks = {name: nn.Linear(size, width, bias=name == bias) for name, size in sorted(input_widths.items())}
    bound = 1 / math.sqrt(sum(input_widths.values()))
    for linear in blocks.values():
        nn.init.uniform_(linear.weight, -bound, bound)  # as one layer over all of [x] would begin
    return Named(blocks)
