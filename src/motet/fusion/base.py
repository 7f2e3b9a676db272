"""The contract of the room: tokens of every input -> streams."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import nn

from motet.core.component import ComponentSpec
from motet.core.flow import Fused, Tokens

Grids = Mapping[str, tuple[int, int]]
"""Height and width of the map whose cells, row by row, an input's tokens are; inputs without a map are not in it."""


class Fusion(nn.Module, ABC):
    """`{input: Tokens}` -> `{stream: Fused}`; every stream has width `output_width`.

    `streams` names what `forward` returns. `exact` says what becomes of an absent input: True, it is removed, so that
    the row comes out as from an operator that never had the input and the same other weights; False, its learned absent
    token takes part in its place.

    With several streams each task decides once per stream. `rule` names how those decisions are joined (a task that
    can not refuses by name), `Fused.weight` with which share. `auxiliary` is the weight of the losses that single
    streams get of their own, beside the loss of the joint decision; where `separate` they get nothing else, and are
    joined only afterwards. With `contextual` one of the streams has `Fused.tokens`.
    """

    output_width: int
    streams: tuple[str, ...]
    exact: bool
    rule: str = "mean"
    auxiliary: float = 0.0
    separate: bool = False
    contextual: bool = False

    @abstractmethod
    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """Fuse, each row on its own."""


class FusionSpec(ComponentSpec, ABC):
    """What every fusion has in common."""

    def resolved(self, num_inputs: int) -> "FusionSpec":
        """Without "auto"."""
        return self

    @abstractmethod
    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> Fusion:
        """The operator for inputs of these widths; `grids` is read by those that fuse maps.

        Raises `SpecError` where it can not take these inputs, naming its limit.
        """
