"""One of several labels: one logit per class, softmax cross-entropy."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.core.checks import text_of
from motet.core.errors import DataError
from motet.core.flow import Cells
from motet.tasks.base import Codec, Metric
from motet.tasks.classes import COVERAGE, ClassCodec, Coverage
from motet.tasks.heads import LinearHead
from motet.tasks.imbalance import ClassWeights, Focal, Smoothing, cross_entropy, weights_at, weights_of
from motet.tasks.labels import Label, count_labels, label_of
from motet.tasks.losses import CERTAIN, labelled_loss
from motet.tasks.metrics import Floats, auroc, calibration_error, f1_scores, mean_that_exists, metric
from motet.tasks.row import RowTask
from motet.tasks.rules import (
    EvidentialOfClasses,
    MeanOfClasses,
    ProductOfClasses,
    Rule,
    StackingOfClasses,
    UncertaintyOfClasses,
)

UNKNOWN = -1


class MulticlassCodec(ClassCodec):
    """Target the number of the class (int64 `[B]`), output one logit per class `[B, C]`; classes in natural order.

    `weights` are those of the classes.
    """

    classes: tuple[Label, ...] = Field(min_length=2)
    weights: tuple[float, ...] | None = None

    @property
    def known(self) -> tuple[Label, ...]:
        """The classes."""
        return self.classes

    @cached_property
    def _number(self) -> dict[str, int]:
        return {text_of(label): number for number, label in enumerate(self.classes)}

    def knows(self, cell: object) -> bool:
        """Whether it is one of the classes."""
        return int(self.read(cell)) != UNKNOWN

    def read(self, cell: object) -> np.ndarray:
        """The number of the class, matched by text; -1 for a label that no training row has, which counts as a miss."""
        text = text_of(label_of(cell))
        return np.asarray(self._number.get(text, UNKNOWN), dtype=np.int64)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": int64 [n]}`, and `"weight"`, float32, where classes have one."""
        labels = np.stack(items)
        target = {"target": torch.from_numpy(labels)}
        return target if self.weights is None else target | {"weight": weights_at(self.weights, labels)}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        """The likeliest label, in its own type, its "probability", and the "set" of labels that may be right."""
        logits = output.detach().double().cpu()
        answers = [self.classes[index] for index in self.answered(logits).tolist()]
        probability = (logits / self.temperature).softmax(-1).amax(-1).tolist()
        return {"": answers, "probability": probability, **self.listed(logits)}

    def answered(self, output: Tensor) -> Tensor:
        """The largest logit."""
        return output.detach().cpu().argmax(-1)

    def log_probabilities(self, output: Tensor, *, temperature: float) -> Tensor:
        """Of the softmax."""
        return (output.double() / temperature).log_softmax(-1)

    def strangeness(self, output: Tensor) -> Tensor:
        """-log p; 0 for the answer."""
        strange = -self.log_probabilities(output, temperature=1.0)
        return strange.scatter(1, self.answered(output)[:, None], 0.0)

    def certain(self, target: Tensor) -> Tensor:
        """All for the class; nothing for any where it is unknown."""
        return CERTAIN * (target[:, None] == torch.arange(len(self.classes), device=target.device)).float()

    def metrics(self) -> tuple[Metric, ...]:
        """accuracy, macro_f1, weighted_f1, auroc (one against the rest, macro), ece (of the answered class)."""
        return (
            metric("accuracy", lambda logits, target: float((logits.argmax(-1) == target).mean())),
            metric("macro_f1", lambda logits, target: mean_that_exists(_f1_of_classes(logits, target))),
            metric("weighted_f1", _weighted_f1),
            metric("auroc", _auroc),
            metric("ece", lambda z, y: _calibration_error(z / self.temperature, y), higher_is_better=False),
        )

    def prior(self, target: Tensor) -> Tensor:
        """The log frequencies, half a row added to each class so that they are finite."""
        counts = torch.bincount(target.cpu(), minlength=len(self.classes)) + 0.5
        return torch.log(counts / counts.sum())


class Multiclass(RowTask):
    """Say which of several labels a row has.

    loss = -log softmax(z)_y, with one logit z_c per class that occurs in the training rows; see
    `motet.tasks.imbalance` for what `class_weights`, `focal` and `smoothing` make of it.

    >>> codec = Multiclass().fit([3, 1, 2, 1])
    >>> codec.decode(torch.tensor([[0.0, 0.0, 9.0]]))[""]
    [3]
    """

    metric_names: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1", "weighted_f1", "auroc", "ece")
    rules: ClassVar[Mapping[str, type[Rule]]] = {
        "mean": MeanOfClasses,
        "product": ProductOfClasses,
        "uncertainty": UncertaintyOfClasses,
        "evidential": EvidentialOfClasses,
        "stacking": StackingOfClasses,
    }

    kind: Literal["multiclass"] = "multiclass"
    class_weights: ClassWeights = None
    focal: Focal = 0.0
    smoothing: Smoothing = 0.0
    coverage: Coverage = COVERAGE

    def fit(self, cells: Iterable[object]) -> MulticlassCodec:
        """Collect the classes; `DataError` where there are fewer than two, or no two rows share one."""
        counts = count_labels(cells)
        if not counts:
            raise DataError("no training row has a label; name the right column, or leave the task out")
        if len(counts) == 1:
            raise DataError(
                f"every training row with a label has the same one, {text_of(next(iter(counts)))!r}: there is nothing "
                "to learn; add rows with other labels, or leave the task out"
            )
        if len(counts) > 20 and sum(counts.values()) == len(counts):
            raise DataError(
                f"each of the {len(counts)} labels occurs once, so no class can be learned; "
                "try kind regression if they are numbers, or name another column"
            )
        weights = weights_of(self.class_weights, counts)
        return MulticlassCodec(classes=tuple(counts), weights=weights, coverage=self.coverage)

    def restore(self, state: dict[str, Any]) -> MulticlassCodec:
        """The codec of a bundle."""
        return MulticlassCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """Itself: nothing is left to be found."""
        return self

    def output_shape(self, codec: Codec) -> tuple[int, ...]:
        """One logit per class."""
        assert isinstance(codec, MulticlassCodec)
        return (len(codec.classes),)

    def num_classes(self, codec: Codec) -> int | None:
        """As many as occur in the training rows."""
        assert isinstance(codec, MulticlassCodec)
        return len(codec.classes)

    def build(self, codec: Codec, input_width: int) -> LinearHead:
        """A linear layer to one logit per class."""
        return LinearHead(input_width, output_shape=self.output_shape(codec))

    def loss(self, output: Float[Tensor, "B C"], target: Cells) -> Float[Tensor, "B"]:
        """Cross-entropy of each labelled row, by the weight of its class."""
        per_row = partial(cross_entropy, focal=self.focal, smoothing=self.smoothing)
        return labelled_loss(per_row, output, target)


def _one_hot(number: np.ndarray, num_classes: int) -> np.ndarray:
    return np.asarray(number[:, None] == np.arange(num_classes))


def _f1_of_classes(logits: Floats, target: np.ndarray) -> Floats:
    classes = logits.shape[-1]
    return f1_scores(_one_hot(logits.argmax(-1), classes), _one_hot(target, classes))


def _weighted_f1(logits: Floats, target: np.ndarray) -> float:
    frequency = np.bincount(target[target != UNKNOWN], minlength=logits.shape[-1]) / len(target)
    return float(np.nansum(frequency * _f1_of_classes(logits, target)))


def _auroc(logits: Floats, target: np.ndarray) -> float:
    probability = _softmax(logits)
    return mean_that_exists(np.array([auroc(probability[:, c], target == c) for c in range(logits.shape[-1])]))


def _calibration_error(logits: Floats, target: np.ndarray) -> float:
    return calibration_error(_softmax(logits).max(-1), logits.argmax(-1) == target)


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True))
