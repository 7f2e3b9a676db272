"""Late fusion: every input decides on its own, and the decisions are joined."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.project import Projections, presence
from motet.fusion.shares import DecisionShares

Weights = Literal["mean", "learned"] | dict[str, Annotated[float, Field(gt=0)]]


class Late(FusionSpec):
    """Every input decides on its own, and the decisions are averaged: late fusion.

    >>> Late(weights="learned").build({"photo": 8, "review": 4}).streams
    ('photo', 'review')
    """

    kind: Literal["late"] = "late"
    width: int = Field(default=128, gt=0, description="Width of each stream.")
    weights: Weights = Field(
        default="mean",
        description="Shares in the decision: mean, learned, or a number for each input, e.g. {photo: 2, age: 1}.",
    )
    auxiliary: float = Field(
        default=0.0, ge=0, description="Weight of each single input's own loss beside the joint one."
    )

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "LateFusion":
        """Refuses weights that do not name exactly the inputs."""
        return LateFusion(input_widths, width=self.width, weights=self.weights, auxiliary=self.auxiliary)


class LateFusion(Fusion):
    """One stream per input, `h_m = P_m x_m`, x_m its mean token; shares a_m in the decision, `y = sum_m a_m y_m`.

    The shares are renormalised over the inputs present in the row; an absent input has share exactly 0, and a row
    without any input takes the plain mean of what each stream says of its learned absent token.

    >>> import torch
    >>> present = torch.tensor([True, False])
    >>> photo = Tokens(torch.zeros(2, 1, 8), torch.ones(2, 1, dtype=torch.bool), present)
    >>> LateFusion({"photo": 8}, width=16)({"photo": photo})["photo"].weight
    tensor([1., 1.])
    """

    def __init__(
        self, input_widths: Mapping[str, int], *, width: int = 128, weights: Weights = "mean", auxiliary: float = 0.0
    ) -> None:
        super().__init__()
        self.output_width = width
        self.exact = True
        self.streams = tuple(sorted(input_widths))
        self.auxiliary = auxiliary
        self.project = Projections(input_widths, width=width)
        self.shares = DecisionShares(self.streams, weights=weights)

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """A stream per input, under the input's name."""
        shares = self.shares(presence(tokens)).unbind(dim=1)
        vectors = self.project(tokens)
        return {
            name: Fused(vectors[name], tokens[name].present, share)
            for name, share in zip(self.streams, shares, strict=True)
        }
