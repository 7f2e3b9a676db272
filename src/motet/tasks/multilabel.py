"""Any number of several labels: one logit per label, the mean of their cross-entropies."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.core.checks import text_of
from motet.core.errors import CellError, DataError, SpecError
from motet.core.flow import Cells
from motet.tasks.base import Codec, Metric
from motet.tasks.heads import LinearHead
from motet.tasks.imbalance import ClassWeights, Focal, Smoothing, binary_cross_entropy, by_rarity, weights_of
from motet.tasks.labels import Label, first_text, natural_order
from motet.tasks.losses import CERTAIN, labelled_loss
from motet.tasks.metrics import Floats, auroc, f1_scores, mean_that_exists, metric
from motet.tasks.row import RowCodec, RowTask
from motet.tasks.rules import (
    EvidentialOfLogits,
    MeanOfLogits,
    ProductOfLogits,
    Rule,
    StackingOfLogits,
    UncertaintyOfLogits,
)
from motet.tasks.sets import flags, readable_sets, set_of
from motet.tasks.temperature import fit_temperature


class MultilabelCodec(RowCodec):
    """Target 0 or 1 per label (float32 `[B, L]`), output one logit per label `[B, L]`.

    A cell is a list of labels, as text in JSON, or text that `separator` divides; with `indicators` it is a list of yes
    and no, one per label. An empty list is the empty set, which is a label like any other. `weights` are, for each
    label, those of no and of yes.
    """

    labels: tuple[Label, ...] = Field(min_length=1)
    separator: str = Field(min_length=1)
    indicators: bool
    weights: tuple[tuple[float, ...], ...] | None = None
    temperature: float = Field(default=1.0, gt=0)

    @property
    def known(self) -> tuple[Label, ...]:
        """The labels a set is made of."""
        return self.labels

    @cached_property
    def _number(self) -> dict[str, int]:
        return {text_of(label): number for number, label in enumerate(self.labels)}

    def knows(self, cell: object) -> bool:
        """Whether every label of the set is one of the labels."""
        return self.indicators or all(text_of(label) in self._number for label in set_of(cell, self.separator))

    def read(self, cell: object) -> np.ndarray:
        """1 for each label of the set, 0 for the others; a label that no training row has is passed over."""
        if self.indicators:
            return flags(cell, self.labels)
        item = np.zeros(len(self.labels), dtype=np.float32)
        for label in set_of(cell, self.separator):
            number = self._number.get(text_of(label))
            if number is not None:
                item[number] = 1
        return item

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": float32 [n, L]}`, and `"weight"` alike where labels have one."""
        target = {"target": torch.from_numpy(np.stack(items))}
        if self.weights is None:
            return target
        no, yes = torch.tensor(self.weights).T
        return target | {"weight": torch.where(target["target"] > 0.5, yes, no)}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        """The list of labels likelier than not, and in "probability" the list of *their* probabilities."""
        logits = output.detach().double().cpu()
        rows = (logits / self.temperature).sigmoid().tolist()
        kept = [[number for number, value in enumerate(row) if value > 0] for row in logits.tolist()]
        answers = [[self.labels[number] for number in numbers] for numbers in kept]
        return {
            "": answers,
            "probability": [[row[i] for i in numbers] for row, numbers in zip(rows, kept, strict=True)],
        }

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """With one temperature for all labels, of rows that were not trained on; 1 where they say nothing but one."""
        truth, logits = target.detach().double().cpu(), output.detach().double().cpu()
        if len(np.unique(truth)) < 2:
            return self.model_copy(update={"temperature": 1.0})
        signed = (1 - 2 * truth) * logits
        return self.model_copy(update={"temperature": fit_temperature(lambda t: float(F.softplus(signed / t).sum()))})

    def certain(self, target: Tensor) -> Tensor:
        """Far out on the side of each label."""
        return CERTAIN * (2 * target - 1)

    def metrics(self) -> tuple[Metric, ...]:
        """macro_f1, micro_f1, hamming (the share of wrong yes and no: lower is better), auroc (macro)."""
        return (
            metric("macro_f1", lambda logits, target: mean_that_exists(f1_scores(logits > 0, target > 0.5))),
            metric("micro_f1", _micro_f1),
            metric(
                "hamming", lambda logits, target: float(((logits > 0) != (target > 0.5)).mean()), higher_is_better=False
            ),
            metric("auroc", _auroc),
        )

    def prior(self, target: Tensor) -> Tensor:
        """The log odds of each label, half a row added to each side so that they are finite."""
        positive = target.double().sum(0)
        return torch.log((positive + 0.5) / (len(target) - positive + 0.5)).float()


class Multilabel(RowTask):
    """Say which of several labels a row has, any number of them.

    loss = mean_l [-y_l log s(z_l) - (1 - y_l) log(1 - s(z_l))] over the labels l; see `motet.tasks.imbalance` for what
    `class_weights`, `focal` and `smoothing` make of it. A weight given for a label is that of the rows that have it;
    balanced, each label weighs its yes and its no as two classes.

    >>> codec = Multilabel().fit(["red|round", "round", []])
    >>> codec.labels, codec.read([]).tolist()
    (('red', 'round'), [0.0, 0.0])
    """

    metric_names: ClassVar[tuple[str, ...]] = ("macro_f1", "micro_f1", "hamming", "auroc")
    rules: ClassVar[Mapping[str, type[Rule]]] = {
        "mean": MeanOfLogits,
        "product": ProductOfLogits,
        "uncertainty": UncertaintyOfLogits,
        "evidential": EvidentialOfLogits,
        "stacking": StackingOfLogits,
    }
    several: ClassVar[bool] = True

    kind: Literal["multilabel"] = "multilabel"
    separator: str = Field(default="|", min_length=1, description="What divides the labels of one cell of text.")
    class_weights: ClassWeights = None
    focal: Focal = 0.0
    smoothing: Smoothing = 0.0

    def fit(self, cells: Iterable[object]) -> MultilabelCodec:
        """Collect the labels, or take the columns' names; `DataError` where no label ever occurs."""
        if self.columns is not None:
            return self._fit_columns(cells)
        first: dict[str, Label] = {}
        counts: Counter[str] = Counter()
        num_rows = 0
        for found in readable_sets(cells, self.separator):
            counts.update({first_text(first, label) for label in found})
            num_rows += 1
        if not first:
            raise DataError("no training row has any label; name the right column, or leave the task out")
        labels = {first[text]: counts[text] for text in sorted(first, key=natural_order)}
        return self._codec(labels, num_rows, indicators=False)

    def _fit_columns(self, cells: Iterable[object]) -> MultilabelCodec:
        if not isinstance(self.columns, tuple):
            raise SpecError(f"the glob {self.columns!r} has to be resolved to names before the task is fitted")
        num_rows, counts = 0, np.zeros(len(self.columns), dtype=np.int64)
        for cell in cells:
            try:
                counts += flags(cell, self.columns).astype(np.int64)
                num_rows += 1
            except CellError:
                continue
        if not counts.any():
            raise DataError("the columns hold no 1 in any training row; name other columns, or leave the task out")
        return self._codec(dict(zip(self.columns, counts.tolist(), strict=True)), num_rows, indicators=True)

    def _codec(self, counts: Mapping[Label, int], num_rows: int, *, indicators: bool) -> MultilabelCodec:
        """The codec of labels that so many of the rows have."""
        weights: tuple[tuple[float, ...], ...] | None = None
        if isinstance(self.class_weights, str):
            weights = tuple(by_rarity(self.class_weights, [num_rows - one, one]) for one in counts.values())
        elif self.class_weights is not None:
            weights = tuple((1.0, weight) for weight in weights_of(self.class_weights, counts) or ())
        return MultilabelCodec(labels=tuple(counts), separator=self.separator, indicators=indicators, weights=weights)

    def restore(self, state: dict[str, Any]) -> MultilabelCodec:
        """The codec of a bundle."""
        return MultilabelCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """Itself: nothing is left to be found."""
        return self

    def output_shape(self, codec: Codec) -> tuple[int, ...]:
        """One logit per label."""
        assert isinstance(codec, MultilabelCodec)
        return (len(codec.labels),)

    def num_classes(self, codec: Codec) -> int | None:
        """None: a row has any number of labels."""
        return None

    def build(self, codec: Codec, input_width: int) -> LinearHead:
        """A linear layer to one logit per label."""
        return LinearHead(input_width, output_shape=self.output_shape(codec))

    def loss(self, output: Float[Tensor, "B L"], target: Cells) -> Float[Tensor, "B"]:
        """The mean cross-entropy of the labels of each labelled row, each by its weight."""
        per_label = partial(binary_cross_entropy, focal=self.focal, smoothing=self.smoothing)
        return labelled_loss(per_label, output, target)


def _micro_f1(logits: Floats, target: np.ndarray) -> float:
    return float(f1_scores((logits > 0).reshape(-1, 1), (target > 0.5).reshape(-1, 1))[0])


def _auroc(logits: Floats, target: np.ndarray) -> float:
    return mean_that_exists(np.array([auroc(logits[:, i], target[:, i] > 0.5) for i in range(logits.shape[-1])]))
