"""The contract of the room: tokens of every input -> streams."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from jaxtyping import Int64
from torch import Tensor, nn

from motet.core.component import ComponentSpec
from motet.core.flow import Fused, LossTerm, Tokens

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
    joined only afterwards. With `contextual` one of the streams has `Fused.tokens`. With `learns_alone` it has
    `objectives`, losses that need no label.
    """

    output_width: int
    streams: tuple[str, ...]
    exact: bool
    rule: str = "mean"
    auxiliary: float = 0.0
    separate: bool = False
    contextual: bool = False
    learns_alone: bool = False

    @abstractmethod
    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """Fuse, each row on its own."""

    def objectives(self, tokens: Mapping[str, Tokens], keys: Int64[Tensor, "B"] | None = None) -> dict[str, LossTerm]:
        """Losses of its own that need no label, by name, already weighted; none, unless an operator says otherwise.

        Each is a sum over the rows that it can say something about, and their number: a row that lacks what it compares
        changes neither, and where there is no such row both are 0. They are minimised beside the tasks' losses, or
        without any, and take no part in the balance between tasks. `keys`, one per row, seed what they draw.
        """
        return {}


class FusionSpec(ComponentSpec, ABC):
    """What every fusion has in common."""

    def resolved(self, num_inputs: int) -> "FusionSpec":
        """Without "auto"."""
        return self

    @property
    def whole_batch(self) -> bool:
        """Whether it has losses that compare the rows of a batch with each other."""
        return False

    @abstractmethod
    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> Fusion:
        """The operator for inputs of these widths; `grids` is read by those that fuse maps.

        Raises `SpecError` where it can not take these inputs, naming its limit.
        """
