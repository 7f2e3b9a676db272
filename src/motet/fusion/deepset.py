"""The inputs of a row as a set: each into a common space, pooled, and read."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.project import one_stream, pooled, presence
from motet.nn.dropout import Dropout
from motet.nn.mlp import MLP
from motet.nn.named import Named
from motet.nn.pooling import hide, masked_mean

Pool = Literal["sum", "mean", "max"]


class DeepSet(FusionSpec):
    """The inputs present as a set: each into a common space, pooled, then a perceptron over the pool.

    >>> DeepSet(width=16, pool="max").build({"photo": 8, "review": 4}).output_width
    16
    """

    kind: Literal["deepset"] = "deepset"
    paper: ClassVar[str] = "Zaheer et al., Deep Sets, NeurIPS 2017"
    width: int = Field(default=128, gt=0, description="Width of the common space and of the fused vector.")
    pool: Pool = Field(
        default="sum", description="How the inputs present are pooled: their sum, mean, or maximum per channel."
    )
    layers: int = Field(default=2, gt=0, description="Layers of the perceptron over the pool.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the fused vector and between layers.")

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "DeepSetFusion":
        """Takes inputs of any number and width."""
        return DeepSetFusion(input_widths, width=self.width, pool=self.pool, layers=self.layers, dropout=self.dropout)


class DeepSetFusion(Fusion):
    """`h = rho(pool_m phi_m(x_m))`, `phi_m(x) = gelu(P_m x)`, x_m the mean token of input m, rho a perceptron.

    The pool is over the inputs present: an absent one is not in the set. A row without any has the pool 0.

    The sum is the paper's, and the default: each input adds its evidence, a row with fewer says less, and how many
    there are can be read off it. The mean forgets the number (one input is as loud as eight that agree) and so keeps
    its scale where training and use differ in how much is absent; the maximum keeps only what is strongest.

    Deviation: the paper's phi is one for all elements. Inputs differ in width and kind, so phi_m is their encoder and
    a layer of their own. Were it linear, the sum would be `concat` with zeros for what is absent.

    Zaheer et al., NeurIPS 2017.

    >>> present = torch.tensor([True, False])
    >>> photo = Tokens(torch.zeros(2, 1, 8), torch.ones(2, 1, dtype=torch.bool), present)
    >>> DeepSetFusion({"photo": 8}, width=16)({"photo": photo})["joint"].present
    tensor([ True, False])
    """

    def __init__(
        self,
        input_widths: Mapping[str, int],
        *,
        width: int = 128,
        pool: Pool = "sum",
        layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.output_width = width
        self.exact = True
        self.streams = ("joint",)
        self.inputs = tuple(sorted(input_widths))
        self.pool = pool
        self.element = Named({name: nn.Linear(input_widths[name], width) for name in self.inputs})
        self.read = MLP(width, hidden=[width] * (layers - 1), output_width=width, dropout=dropout)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        present = presence(tokens)
        vectors = {name: hide(pooled(tokens[name]), tokens[name].present) for name in self.inputs}
        elements = torch.stack([F.gelu(self.element[name](vectors[name])) for name in self.inputs], dim=1)
        fused = self.dropout(self.read(pooled_set(elements, present, pool=self.pool)))
        return one_stream(fused, tokens)


def pooled_set(elements: Float[Tensor, "B M W"], present: Bool[Tensor, "B M"], *, pool: Pool) -> Float[Tensor, "B W"]:
    """The pool over what is present; 0 in a row where nothing is.

    >>> elements = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> [pooled_set(elements, torch.tensor([[True, True, False]]), pool=pool).item() for pool in ("sum", "mean", "max")]
    [4.0, 2.0, 3.0]
    """
    if pool == "max":
        strongest = elements.masked_fill(~present[:, :, None], -math.inf).amax(dim=1)
        return hide(strongest, present.any(dim=1))
    return masked_mean(elements, present) if pool == "mean" else hide(elements, present).sum(dim=1)
