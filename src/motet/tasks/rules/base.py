"""The contract of a rule: opinions of several streams -> one output in the task's own form.

B rows, D width of a stream's features; outputs are `[B, ...]`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor, nn

from motet.core.flow import Cells, LossTerm

RowLoss = Callable[[Tensor, Cells], Float[Tensor, "B"]]


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one stream says: its output, the features that was made from, and its share in the joint decision.

    Over the streams of a row the weights sum to 1; one that is absent from the row has weight 0 unless all are.
    """

    output: Tensor
    features: Float[Tensor, "B D"]
    present: Bool[Tensor, "B"]
    weight: Float[Tensor, "B"]


@dataclass(frozen=True, slots=True)
class Joining:
    """What a rule is built for: streams, the width of their features, the shape of a row's output, the task's loss."""

    streams: tuple[str, ...]
    width: int
    shape: tuple[int, ...]
    loss: RowLoss


class Rule(nn.Module, ABC):
    """Joins what the streams say about one task. All state is in `state_dict`, keyed by stream.

    What a stream of weight 0 holds never counts, NaN included. In a row where every stream is absent the answer is any
    finite one: the network puts the task's learned prior in its place.

    `rows_alike` says that its terms count all rows alike, whatever these weigh.
    """

    rows_alike: bool = False

    @abstractmethod
    def stated(self, raw: Tensor) -> Tensor:
        """A head's values as an output in the task's own form, so that a stream alone can be scored and decoded."""

    @abstractmethod
    def forward(self, opinions: Mapping[str, Opinion]) -> Tensor:
        """The joint output; a stream alone is answered with what it says."""

    @abstractmethod
    def loss(self, output: Tensor, target: Cells) -> Float[Tensor, "B"]:
        """The loss of each row, for the joint output or for a stream's; exactly 0 in rows without a label."""

    @abstractmethod
    def terms(self, opinions: Mapping[str, Opinion], target: Cells) -> dict[str, LossTerm]:
        """What the rule itself asks of training beside the loss of its output, by name."""

    @abstractmethod
    def start_from(self, prior: Tensor) -> None:
        """Take in the constant output that fits the training labels best."""

    @abstractmethod
    def epoch_end(self) -> None:
        """Called once after each epoch."""


class PlainRule(Rule, ABC):
    """A rule that joins and does nothing else: the task's own loss, no terms, nothing to remember."""

    def __init__(self, joining: Joining) -> None:
        super().__init__()
        self._loss = joining.loss

    def stated(self, raw: Tensor) -> Tensor:
        """What the head says."""
        return raw

    def loss(self, output: Tensor, target: Cells) -> Float[Tensor, "B"]:
        """The task's own."""
        return self._loss(output, target)

    def terms(self, opinions: Mapping[str, Opinion], target: Cells) -> dict[str, LossTerm]:
        """None."""
        return {}

    def start_from(self, prior: Tensor) -> None:
        """Nothing to take in."""

    def epoch_end(self) -> None:
        """Nothing to do."""
