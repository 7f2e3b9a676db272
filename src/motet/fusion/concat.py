"""Early fusion: one layer over all inputs side by side, as vectors or as maps."""

from collections.abc import Mapping
from typing import Literal, Self

import torch
from pydantic import Field, model_validator

from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.mapconcat import MapConcatFusion
from motet.fusion.project import one_stream, pooled
from motet.nn.dropout import Dropout
from motet.nn.mlp import MLP

PLACES = 16


class Concat(FusionSpec):
    """All inputs side by side through one layer: early fusion.

    >>> Concat(width=16).build({"photo": 8, "review": 4}).streams
    ('joint',)
    """

    kind: Literal["concat"] = "concat"
    width: int = Field(default=128, gt=0, description="Width of the fused vector.")
    layers: int = Field(
        default=1, gt=0, description="Layers over the joined inputs; the first is the linear map itself."
    )
    level: Literal["vector", "map"] = Field(
        default="vector",
        description="vector: the mean of each input; map: place by place, then convolved, for inputs that are aligned.",
    )
    places: int = Field(
        default=PLACES, gt=0, description="At level map without any picture: places that each sequence is resampled to."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the fused vector and between layers.")

    @model_validator(mode="after")
    def _places_are_those_of_a_map(self) -> Self:
        if self.level == "vector" and self.places != PLACES:
            raise ValueError("`places` says nothing at level vector; leave it out, or set `level: map`")
        return self

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "ConcatFusion | MapConcatFusion":
        """Takes inputs of any number and width."""
        if self.level == "vector":
            return ConcatFusion(input_widths, width=self.width, layers=self.layers, dropout=self.dropout)
        return MapConcatFusion(
            input_widths,
            grids=grids,
            width=self.width,
            layers=self.layers,
            places=self.places,
            dropout=self.dropout,
        )


class ConcatFusion(Fusion):
    """`h = W [x_1; ...; x_M] + b`, x_m the mean token of input m; further layers put a GELU before each.

    An absent input takes part with its learned absent token: a learned fallback, so any subset of inputs will do.

    >>> present = torch.ones(2, dtype=torch.bool)
    >>> photo = Tokens(torch.zeros(2, 1, 8), present[:, None], present)
    >>> ConcatFusion({"photo": 8}, width=16)({"photo": photo})["joint"].pooled.shape
    torch.Size([2, 16])
    """

    def __init__(
        self, input_widths: Mapping[str, int], *, width: int = 128, layers: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.output_width = width
        self.exact = False
        self.streams = ("joint",)
        self.inputs = tuple(sorted(input_widths))
        self.mix = MLP(sum(input_widths.values()), hidden=[width] * (layers - 1), output_width=width, dropout=dropout)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        joined = torch.cat([pooled(tokens[name]) for name in self.inputs], dim=1)
        fused = self.dropout(self.mix(joined))
        return one_stream(fused, tokens)
