"""Tasks that decide about a whole row, from its features.

B rows, D width of the features; an output is `[B, ...]`, of the same shape for every row.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from motet.core.errors import SpecError
from motet.tasks.base import Codec, TaskSpec
from motet.tasks.rules import Joining, Rule


class RowCodec(Codec, ABC):
    """Labels and answers of a row. The prior is the constant output `[...]` that fits the training targets best."""

    def trivial(self, prior: Tensor, target: Tensor) -> Tensor:
        """The prior, for every row."""
        return prior.expand(target.shape[0], *prior.shape)


class Head(nn.Module, ABC):
    """Features of one stream -> output."""

    @abstractmethod
    def forward(self, features: Float[Tensor, "B D"]) -> Tensor:
        """Features -> output `[B, ...]`."""

    @abstractmethod
    def start_from(self, prior: Tensor) -> None:
        """Set the bias so that an untrained head answers the prior."""


class RowTask(TaskSpec, ABC):
    """What every task of this kind has in common.

    There is a head for each stream of fusion; `rules` are the ways in which their decisions can be joined.
    """

    rules: ClassVar[Mapping[str, Callable[[Joining], Rule]]]

    @abstractmethod
    def fit(self, cells: Iterable[object]) -> RowCodec:
        """Fit on the present labels of the training rows; raises `DataError` where there is nothing to learn."""

    @abstractmethod
    def build(self, codec: Codec, input_width: int) -> Head:
        """A head for features of this width."""

    def probe(self, codec: Codec, input_width: int) -> Head:
        """A small head for what one input says by itself; unlike that of `build`, for any width there is."""
        return self.build(codec, input_width)

    @abstractmethod
    def output_shape(self, codec: Codec) -> tuple[int, ...]:
        """The shape of what a head says of one row."""

    @abstractmethod
    def num_classes(self, codec: Codec) -> int | None:
        """How many classes a label is one of, where the target is the number of its class; else None."""

    def rules_for(self, codec: Codec) -> Mapping[str, Callable[[Joining], Rule]]:
        """Those that can join outputs of this codec: all, but where outputs of the kind have several forms."""
        return self.rules

    def rule(self, name: str, codec: Codec, *, streams: Sequence[str], width: int) -> Rule:
        """How the decisions of these streams, made from features of this width, are joined.

        Raises `SpecError` for a rule that this kind of task does not know.
        """
        rules = self.rules_for(codec)
        if name not in rules:
            known = ", ".join(map(repr, sorted(rules)))
            raise SpecError(
                f"a task of kind {self.kind} can not join decisions by {name!r}; the rules it knows are {known}"
            )
        shape = self.output_shape(codec)
        return rules[name](Joining(streams=tuple(streams), width=width, shape=shape, loss=self.loss))
