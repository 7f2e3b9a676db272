"""The contract of the room: a task is a Spec, a target codec and a head, in one file.

An *output* is what a model says of B rows, `[B, ...]`: logits for classes, a standardised value for a number, the words
of a sentence as ids. Metrics and decoded answers are functions of outputs, so that training, evaluation and serving can
not disagree. Tasks that decide about a row from its features are in `tasks/row.py`; tasks that read the parts of an
input (tokens, the cells of a map), or write, in `tasks/part.py`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from jaxtyping import Float
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from motet.core.checks import did_you_mean
from motet.core.component import ComponentSpec, Frozen
from motet.core.flow import Cells
from motet.tasks.labels import Label

Weight = Annotated[float, Field(gt=0)]
Weights = Annotated[dict[Annotated[float, Field(ge=0, le=1)], Weight], Field(min_length=1)]
"""By the fraction of training that lies behind."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A score over all rows at once: `compute(output [N, ...], target [N, ...])`, in the units of the user's labels.

    `best` is what perfect answers score. A score that is a function of a sum over rows says so by `counts`, each row's
    part of that sum `[N, S]`, and `of_counts`: then a bootstrap does not look at the answers again. `by_group`: it is a
    mean over groups of rows, and what a group counts stands at its first row alone; then who draws rows draws groups,
    and `compute` agrees where every row is drawn once. One that looks for each row's partner among all rows says so by
    `among`: a function from numbers of rows to what these score, while all rows stay there to be found; so may one that
    is quicker where all rows were looked at once.
    """

    name: str
    higher_is_better: bool
    compute: Callable[[Tensor, Tensor], float]
    perfect: float | None = None
    counts: Callable[[Tensor, Tensor], np.ndarray] | None = None
    of_counts: Callable[[np.ndarray], float] | None = None
    by_group: bool = False
    among: Callable[[Tensor, Tensor], Callable[[np.ndarray], float]] | None = None

    @property
    def best(self) -> float:
        """1 where higher is better, else 0, unless `perfect` says otherwise."""
        return float(self.higher_is_better) if self.perfect is None else self.perfect

    def of_rows(self, output: Tensor, target: Tensor) -> Callable[[Tensor], float]:
        """A function from numbers of rows, repeated ones included, to their score."""
        if self.among is not None:
            among = self.among(output, target)
            return lambda rows: among(rows.numpy())
        if self.counts is None or self.of_counts is None:
            return lambda rows: self.compute(output[rows], target[rows])
        of_counts, counts = self.of_counts, self.counts(output, target)
        return lambda rows: of_counts(counts[rows.numpy()].sum(axis=0))


class Codec(Frozen, ABC):
    """A task's labels and answers: label cell -> target tensor, output -> answer. Saved in the bundle as JSON.

    It satisfies `core.flow.Reader`. `batch` returns `{"target": [n, ...]}` and, where labels do not all weigh the same,
    `"weight"`, which broadcasts to the target. Targets and outputs of unequal size are padded behind: whole numbers
    with -1, others with 0.
    """

    @property
    def varies(self) -> bool:
        """False: a label does not vary by chance."""
        return False

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The item itself."""
        return item

    @property
    def known(self) -> tuple[Label, ...]:
        """The labels that the training rows have, in order, where these are all there can be; else empty."""
        return ()

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
        """Items, at least one -> `{"target": [n, ...]}`, and `"weight"` where there is one."""

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
        """What is known of these training targets without any input: for the trivial baseline and the head's bias."""

    @abstractmethod
    def trivial(self, prior: Tensor, target: Tensor) -> Tensor:
        """The output `[N, ...]` of who knows the prior and no input: what the trivial baseline says of N rows.

        Of the targets it may use how many parts there are to answer, not what they are.
        """

    @abstractmethod
    def certain(self, target: Tensor) -> Tensor:
        """An output that says exactly these labels: it scores perfectly, and is decoded to them."""


class TaskSpec(ComponentSpec, ABC):
    """What every task has in common.

    `metric_names` are the kind's metrics, primary first, as its codec computes them; `several` says whether the kind
    takes more than one column; `media` whether a label is a path or bytes. `beside` names fields that name further
    columns, which are read with the label: a cell is then the list of all, absent where one is. `whole_batch`: a row's
    loss depends on the other labelled rows of its batch. `answers_are_labels`: what is answered could be a label, and
    not, say, a score that only puts rows in order.
    """

    metric_names: ClassVar[tuple[str, ...]]
    several: ClassVar[bool] = False
    media: ClassVar[bool] = False
    beside: ClassVar[tuple[str, ...]] = ()
    whole_batch: ClassVar[bool] = False
    answers_are_labels: ClassVar[bool] = True

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
            raise ValueError(
                f"{self.word()} takes one `column`, not `columns`; 0/1 columns make a multilabel task, columns of "
                "numbers a regression"
            )
        if self.columns is not None and self.column is not None:
            raise ValueError("give `column` or `columns`, not both")
        if isinstance(self.columns, tuple) and len(set(self.columns)) < len(self.columns):
            twice = next(name for name in self.columns if self.columns.count(name) > 1)
            raise ValueError(f"`columns` names {twice!r} twice")
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

    @property
    def batched_by(self) -> str | None:
        """The column whose equal values have to meet in one batch; None where rows are drawn one by one."""
        return None

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> Codec:
        """The codec a bundle holds, from its JSON."""

    @abstractmethod
    def resolved(self, codec: Codec) -> Self:
        """The same Spec with every "auto" replaced by what was fitted."""

    @abstractmethod
    def loss(self, output: Tensor, target: Cells) -> Float[Tensor, "B"]:
        """The loss of each row; exactly 0, with gradient exactly 0, in rows without a label, whatever these hold."""


def _are_weights(given: Mapping[Any, Any]) -> bool:
    try:
        pairs = [(float(fraction), float(weight)) for fraction, weight in given.items()]
    except (TypeError, ValueError):
        return False
    return bool(pairs) and all(0 <= fraction <= 1 and 0 < weight < math.inf for fraction, weight in pairs)
