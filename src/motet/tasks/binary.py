"""One of two labels: one logit, cross-entropy."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.core.checks import did_you_mean, text_of
from motet.core.errors import CellError, DataError
from motet.core.flow import Cells
from motet.tasks.base import Codec, Metric
from motet.tasks.classes import COVERAGE, ClassCodec, Coverage
from motet.tasks.heads import LinearHead
from motet.tasks.imbalance import ClassWeights, Focal, Smoothing, binary_cross_entropy, weights_at, weights_of
from motet.tasks.labels import Label, count_labels, label_of, natural_order
from motet.tasks.losses import CERTAIN, labelled_loss
from motet.tasks.metrics import Floats, auroc, auroc_of_draws, average_precision, calibration_error, f1_scores, metric
from motet.tasks.row import RowTask
from motet.tasks.rules import (
    EvidentialOfLogits,
    MeanOfLogits,
    ProductOfLogits,
    Rule,
    StackingOfLogits,
    UncertaintyOfLogits,
)

POSITIVE = frozenset({"1", "true", "t", "yes", "y", "positive", "pos", "on"})
NEGATIVE = frozenset({"0", "-1", "false", "f", "no", "n", "negative", "neg", "off"})


class BinaryCodec(ClassCodec):
    """Target 0 or 1 (float32 `[B]`), output the logit of the positive label `[B]`.

    `weights` are those of the negative and of the positive label.
    """

    negative: Label
    positive: Label
    weights: tuple[float, ...] | None = None

    @property
    def known(self) -> tuple[Label, ...]:
        """No, and yes."""
        return (self.negative, self.positive)

    def read(self, cell: object) -> np.ndarray:
        """0 or 1, matched by text."""
        text = text_of(label_of(cell))
        texts = [text_of(self.negative), text_of(self.positive)]
        if text not in texts:
            raise CellError(f"not one of the two labels of the training rows{did_you_mean(text, texts)}")
        return np.asarray(texts.index(text), dtype=np.float32)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": float32 [n]}`, and `"weight"` alike where labels have one."""
        labels = np.stack(items)
        target = {"target": torch.from_numpy(labels)}
        return target if self.weights is None else target | {"weight": weights_at(self.weights, labels)}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        """The likelier label; "probability" is that of the *positive* label, whichever is answered; "set"."""
        logit = output.detach().double().cpu()
        answers = [self.positive if value > 0 else self.negative for value in logit.tolist()]
        probability = (logit / self.temperature).sigmoid().tolist()
        return {"": answers, "probability": probability, **self.listed(logit)}

    def answered(self, output: Tensor) -> Tensor:
        """1 above 0."""
        return (output.detach().cpu() > 0).long()

    def log_probabilities(self, output: Tensor, *, temperature: float) -> Tensor:
        """Of no, and yes."""
        logit = output.double() / temperature
        return torch.stack([F.logsigmoid(-logit), F.logsigmoid(logit)], dim=-1)

    def strangeness(self, output: Tensor) -> Tensor:
        """-log p; 0 for the answer."""
        strange = -self.log_probabilities(output, temperature=1.0)
        return strange.scatter(1, self.answered(output)[:, None], 0.0)

    def certain(self, target: Tensor) -> Tensor:
        """Far out on the side of the label."""
        return CERTAIN * (2 * target - 1)

    def metrics(self) -> tuple[Metric, ...]:
        """auroc, accuracy, f1 (of the positive label), average_precision, ece (of the positive probability)."""
        return (
            replace(metric("auroc", lambda logit, target: auroc(logit, target > 0.5)), among=_auroc_of_draws),
            metric("accuracy", lambda logit, target: float(((logit > 0) == (target > 0.5)).mean())),
            metric("f1", lambda logit, target: float(f1_scores((logit > 0)[:, None], (target > 0.5)[:, None])[0])),
            metric("average_precision", lambda logit, target: average_precision(logit, target > 0.5)),
            metric("ece", lambda z, y: _calibration_error(z / self.temperature, y), higher_is_better=False),
        )

    def prior(self, target: Tensor) -> Tensor:
        """The log odds of the positive label, half a row added to each side so that they are finite."""
        positive = target.double().sum()
        return torch.log((positive + 0.5) / (len(target) - positive + 0.5)).float()


class Binary(RowTask):
    """Say which of two labels a row has.

    loss = -y log s(z) - (1 - y) log(1 - s(z)), with logit z and y = 1 for the positive label; see
    `motet.tasks.imbalance` for what `class_weights`, `focal` and `smoothing` make of it.

    Which label is positive, unless `positive` says so: the one that is a word for yes (1, true, yes, y, positive, ...)
    or whose opposite is a word for no; else the rarer one; of two equally frequent ones the last in natural order.

    >>> codec = Binary().fit(["no", "yes", "no"])
    >>> codec.decode(torch.tensor([2.0, -2.0]))[""]
    ['yes', 'no']
    """

    metric_names: ClassVar[tuple[str, ...]] = ("auroc", "accuracy", "f1", "average_precision", "ece")
    rules: ClassVar[Mapping[str, type[Rule]]] = {
        "mean": MeanOfLogits,
        "product": ProductOfLogits,
        "uncertainty": UncertaintyOfLogits,
        "evidential": EvidentialOfLogits,
        "stacking": StackingOfLogits,
    }

    kind: Literal["binary"] = "binary"
    positive: Label | None = Field(
        default=None, description="The label that counts as positive; found by its name when left out."
    )
    class_weights: ClassWeights = None
    focal: Focal = 0.0
    smoothing: Smoothing = 0.0
    coverage: Coverage = COVERAGE

    def fit(self, cells: Iterable[object]) -> BinaryCodec:
        """Find the two labels; `DataError` where there are more or fewer."""
        counts = count_labels(cells)
        if not counts:
            raise DataError("no training row has a label; name the right column, or leave the task out")
        if len(counts) == 1:
            only = text_of(next(iter(counts)))
            raise DataError(
                f"every training row with a label has the same one, {only!r}: there is nothing to learn; "
                "add rows with the other label, spell both labels out, or leave the task out"
            )
        if len(counts) > 2:
            raise DataError(f"a binary task has two labels, found {len(counts)}: {_some(counts)}; try kind multiclass")
        positive = _positive(counts) if self.positive is None else _named(self.positive, counts)
        negative = next(label for label in counts if label is not positive)
        weights = weights_of(self.class_weights, {label: counts[label] for label in (negative, positive)})
        return BinaryCodec(negative=negative, positive=positive, weights=weights, coverage=self.coverage)

    def restore(self, state: dict[str, Any]) -> BinaryCodec:
        """The codec of a bundle."""
        return BinaryCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """With the positive label spelled out."""
        assert isinstance(codec, BinaryCodec)
        return self.model_copy(update={"positive": codec.positive})

    def output_shape(self, codec: Codec) -> tuple[int, ...]:
        """One logit."""
        return ()

    def num_classes(self, codec: Codec) -> int | None:
        """Two."""
        return 2

    def build(self, codec: Codec, input_width: int) -> LinearHead:
        """A linear layer to one logit per row."""
        return LinearHead(input_width, output_shape=self.output_shape(codec))

    def loss(self, output: Float[Tensor, "B"], target: Cells) -> Float[Tensor, "B"]:
        """Cross-entropy of each labelled row, by the weight of its label."""
        per_row = partial(binary_cross_entropy, focal=self.focal, smoothing=self.smoothing)
        return labelled_loss(per_row, output, target)


def _auroc_of_draws(output: Tensor, target: Tensor) -> Callable[[np.ndarray], float]:
    logit = output.detach().double().cpu().numpy()
    if not np.isfinite(logit).all():
        return lambda rows: float("nan")
    return auroc_of_draws(logit, target.detach().cpu().numpy() > 0.5)


def _calibration_error(logit: Floats, target: np.ndarray) -> float:
    return calibration_error(np.exp(-np.logaddexp(0, -logit)), target > 0.5)


def _positive(counts: Mapping[Label, int]) -> Label:
    by_word = [label for label in counts if text_of(label).lower() in POSITIVE]
    if len(by_word) != 1:
        by_word = [label for label in counts if text_of(label).lower() not in NEGATIVE]
    if len(by_word) == 1:
        return by_word[0]
    return min(reversed(list(counts)), key=lambda label: counts[label])


def _named(positive: Label, counts: Mapping[Label, int]) -> Label:
    labels = {text_of(label): label for label in counts}
    if text_of(positive) in labels:
        return labels[text_of(positive)]
    if isinstance(positive, bool):  # YAML reads a bare yes or no as a truth value
        words = POSITIVE if positive else NEGATIVE
        meant = [label for text, label in labels.items() if text.lower() in words]
        if len(meant) == 1:
            return meant[0]
    raise DataError(f"the positive label {text_of(positive)!r} does not occur{did_you_mean(text_of(positive), labels)}")


def _some(labels: Iterable[Label], *, most: int = 6) -> str:
    texts = sorted((text_of(label) for label in labels), key=natural_order)
    return ", ".join(map(repr, texts[:most])) + (", ..." if len(texts) > most else "")
