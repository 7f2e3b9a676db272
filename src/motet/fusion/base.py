"""The contract of the room: tokens of every input -> streams."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import nn

from motet.core.component import ComponentSpec
from motet.core.flow import Fused, Tokens


class Fusion(nn.Module, ABC):
    """`{input: Tokens}` -> `{stream: Fused}`; every stream has width `output_width`.

    `streams` names what `forward` returns. With several streams each task decides once per stream, and `rule` says
    how those decisions are joined; `Fused.weight` says with which share. `auxiliary` is the weight of the losses that
    single streams get of their own, beside the loss of the joint decision.
    """

    output_width: int
    streams: tuple[str, ...]
    rule: str = "mean"
    auxiliary: float = 0.0

    @abstractmethod
    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """Fuse, each row on its own."""


class FusionSpec(ComponentSpec, ABC):
    """What every fusion has in common."""

    @abstractmethod
    def build(self, input_widths: Mapping[str, int]) -> Fusion:
        """The operator for inputs of these widths; raises `SpecError` where it can not take them."""
