"""The Spec of fusion in one space."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from motet.fusion.base import FusionSpec, Grids
from motet.fusion.latent.module import LatentFusion

Align = Literal["contrastive", "sigmoid", "cca", "vicreg", "barlow", "none"]
WEIGHT, DECODE_WEIGHT = 0.5, 0.5


class Latent(FusionSpec):
    """Every input in one space, where those of a row are drawn together and an absent one can be predicted.

    Aligning and predicting need no label: every row with two inputs teaches them.

    >>> Latent(width=16, decode=True).build({"photo": 8, "review": 4}).streams
    ('joint',)
    """

    kind: Literal["latent"] = "latent"
    paper: ClassVar[str] = (
        "Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021; "
        "Ngiam et al., Multimodal Deep Learning, ICML 2011"
    )
    width: int = Field(default=128, gt=1, description="Width of the space, and of the fused vector.")
    align: Align = Field(
        default="contrastive",
        description="What draws the inputs of a row together: each is to be told among the batch (contrastive: one of "
        "all, sigmoid: pair by pair), their channels are to be correlated (cca), to be alike and not redundant "
        "(vicreg, barlow), or nothing (none).",
    )
    weight: float = Field(default=WEIGHT, gt=0, description="Weight of the loss that aligns.")
    decode: bool = Field(
        default=False,
        description="Learn to predict each input from each other one; what is predicted stands in for one that is "
        "absent.",
    )
    decode_weight: float = Field(default=DECODE_WEIGHT, gt=0, description="Weight of the loss of these predictions.")
    layers: int = Field(default=0, ge=0, description="Hidden layers on the way of each input into the space.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the fused vector and in hidden layers.")

    @model_validator(mode="after")
    def _weights_are_heeded(self) -> Self:
        if self.align == "none" and self.weight != WEIGHT:
            raise ValueError("`weight` says nothing with `align: none`; leave it out, or choose what aligns")
        if not self.decode and self.decode_weight != DECODE_WEIGHT:
            raise ValueError("`decode_weight` says nothing with `decode: false`; leave it out, or set `decode: true`")
        return self

    @property
    def whole_batch(self) -> bool:
        """Whether something aligns: all that does compares the rows of a batch."""
        return self.align != "none"

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> LatentFusion:
        """Takes inputs of any number and width."""
        return LatentFusion(
            input_widths,
            width=self.width,
            align=self.align,
            weight=self.weight,
            decode=self.decode,
            decode_weight=self.decode_weight,
            layers=self.layers,
            dropout=self.dropout,
        )
