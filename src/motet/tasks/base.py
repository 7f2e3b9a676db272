"""The contract of the room: a task is a Spec, a target codec and a head, in one file.

An *output* is what a head says of B rows, `[B, ...]`: logits for classes, a standardised value for a number. Losses,
metrics and decoded answers are all functions of outputs, so training, evaluation and serving can not disagree.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from jaxtyping import Float
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from motet.core.checks import did_you_mean
from motet.core.component import ComponentSpec, Frozen
from motet.core.errors import SpecError
from motet.core.flow import Cells
from motet.tasks.rules import Joining, Rule

Weight = Annotated[float, Field(gt=0)]
Weights = Annotated[dict[Annotated[float, Field(ge=0, le=1)], Weight], Field(min_length=1)]
"""By the fraction of training that lies behind."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A score over all rows at once: `compute(output [N, ...], target [N, ...])`, in the units of the user's labels."""

    name: str
    higher_is_better: bool
    compute: Callable[[Tensor, Tensor], float]


class Codec(Frozen, ABC):
    """A task's labels and answers: label cell -> target tensor, output -> answer. Saved in the bundle as JSON.

    It satisfies `core.flow.Reader`; `batch` returns `{"target": Tensor [n, ...]}`.
    """

    @property
    def varies(self) -> bool:
        """False: a label does not vary by chance."""
        return False

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The item itself."""
        return item

    def knows(self, cell: object) -> bool:
        """Whether the training rows had this label; one they had not counts as a miss where it is scored.

        Only codecs of a closed set of labels say more than True.
        """
        return True

    @abstractmethod
    def read(self, cell: object) -> np.ndarray:
        """One present label -> one array; raises `CellError` with the reason."""

    @abstractmethod
    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """Items, at least one -> `{"target": [n, ...]}`."""

    @abstractmethod
    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        """Output `[N, ...]` -> columns of N answers: "" is the answer, "probability", "low", "high" go with it."""

    @abstractmethod
    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """The same codec with its intervals fitted on held-out rows; itself where it has none."""

    @abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics of the task, primary first."""

    @abstractmethod
    def prior(self, target: Tensor) -> Tensor:
        """The constant output `[...]` that fits these training targets best: trivial baseline and bias of the heads."""


class Head(nn.Module, ABC):
    """Features of one stream -> output; the loss; and the joint decision over several streams."""

    @abstractmethod
    def forward(self, features: Float[Tensor, "B D"]) -> Tensor:
        """Features -> output `[B, ...]`."""

    @abstractmethod
    def start_from(self, prior: Tensor) -> None:
        """Set the bias so that an untrained head answers the prior."""


class TaskSpec(ComponentSpec, ABC):
    """What every task has in common.

    `metric_names` are the kind's metrics, primary first, as its codec computes them; `several` says whether the kind
    takes more than one column; `rules` are the ways in which it can join the decisions of several streams.
    """

    metric_names: ClassVar[tuple[str, ...]]
    rules: ClassVar[Mapping[str, Callable[[Joining], Rule]]]
    several: ClassVar[bool] = False

    column: str | None = Field(default=None, description="The column of the labels; the task's own name when left out.")
    columns: tuple[str, ...] | str | None = Field(
        default=None, description="Several columns as one task: a list of names, or a glob such as 'label_*'."
    )
    missing: tuple[str, ...] = Field(
        default=(), description="Spellings of an absent label beside the empty one, e.g. ['NA']."
    )
    weight: Weight | Weights = Field(
        default=1.0,
        description="How much the task matters beside the others: a number, or numbers by the fraction of training "
        "that lies behind, {0: 1, 0.5: 3}, in straight lines between them.",
    )
    metric: str | None = Field(
        default=None, description="The metric that selects the best weights; the kind's primary if left out."
    )

    @field_validator("weight", mode="before")
    @classmethod
    def _weights_by_fractions(cls, weight: Any) -> Any:
        if isinstance(weight, Mapping) and not _are_weights(weight):
            raise ValueError(
                "expected numbers above 0 by fractions of training from 0 to 1, such as {0: 1, 0.5: 3}, found "
                f"{dict(weight)}"
            )
        return weight

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, name: str | None) -> str | None:
        if name is not None and name not in cls.metric_names:
            raise ValueError(f"{cls.word()} has no metric {name!r}{did_you_mean(name, cls.metric_names)}")
        return name

    @model_validator(mode="after")
    def _one_way_to_name_columns(self) -> Self:
        if self.columns is not None and not self.several:
            raise ValueError(f"{self.word()} takes one `column`, not `columns`; 0/1 columns make a multilabel task")
        if self.columns is not None and self.column is not None:
            raise ValueError("give `column` or `columns`, not both")
        return self

    def weight_at(self, progress: float) -> float:
        """How much the task matters when this fraction of training lies behind; constant outside what is given.

        >>> from motet.tasks import Binary
        >>> task = Binary(weight={0: 1, 0.5: 3})
        >>> task.weight_at(0.25), task.weight_at(1.0)
        (2.0, 3.0)
        """
        if not isinstance(self.weight, dict):
            return self.weight
        fractions = sorted(self.weight)
        return float(np.interp(progress, fractions, [self.weight[fraction] for fraction in fractions]))

    @property
    def primary(self) -> str:
        """The metric that speaks for the task: the one the user chose, or the kind's first."""
        return self.metric or self.metric_names[0]

    @abstractmethod
    def fit(self, cells: Iterable[object]) -> Codec:
        """Fit on the present labels of the training rows; raises `DataError` where there is nothing to learn."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> Codec:
        """The codec a bundle holds, from its JSON."""

    @abstractmethod
    def resolved(self, codec: Codec) -> Self:
        """The same Spec with every "auto" replaced by what was fitted."""

    @abstractmethod
    def build(self, codec: Codec, input_width: int) -> Head:
        """A head for features of this width."""

    def probe(self, codec: Codec, input_width: int) -> Head:
        """A small head for what one input says by itself; unlike that of `build`, for any width there is."""
        return self.build(codec, input_width)

    @abstractmethod
    def loss(self, output: Tensor, target: Cells) -> Float[Tensor, "B"]:
        """The loss of each row; exactly 0, with gradient exactly 0, in rows without a label, whatever these hold."""

    @abstractmethod
    def output_shape(self, codec: Codec) -> tuple[int, ...]:
        """The shape of what a head says of one row."""

    @abstractmethod
    def num_classes(self, codec: Codec) -> int | None:
        """How many classes a label is one of, where the target is the number of its class; else None."""

    def rule(self, name: str, codec: Codec, *, streams: Sequence[str], width: int) -> Rule:
        """How the decisions of these streams, made from features of this width, are joined.

        Raises `SpecError` for a rule that this kind of task does not know.
        """
        if name not in self.rules:
            known = ", ".join(map(repr, sorted(self.rules)))
            raise SpecError(f"a {self.kind} task can not join decisions by {name!r}; the rules it knows are {known}")
        shape = self.output_shape(codec)
        return self.rules[name](Joining(streams=tuple(streams), width=width, shape=shape, loss=self.loss))


def _are_weights(given: Mapping[Any, Any]) -> bool:
    try:
        pairs = [(float(fraction), float(weight)) for fraction, weight in given.items()]
    except (TypeError, ValueError):
        return False
    return bool(pairs) and all(0 <= fraction <= 1 and 0 < weight < math.inf for fraction, weight in pairs)
