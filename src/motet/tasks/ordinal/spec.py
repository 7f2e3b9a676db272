"""The Spec of ordered labels."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor

from motet.core.checks import did_you_mean, text_of
from motet.core.errors import DataError
from motet.core.flow import Cells
from motet.tasks.base import Codec
from motet.tasks.classes import COVERAGE, Coverage
from motet.tasks.labels import Label, count_labels
from motet.tasks.losses import labelled_loss
from motet.tasks.ordinal.codec import OrdinalCodec, number_in
from motet.tasks.ordinal.head import OrdinalHead
from motet.tasks.row import RowTask
from motet.tasks.rules import MeanOfClasses, ProductOfClasses, Rule, StackingOfClasses


class Ordinal(RowTask):
    """Say which of several ordered labels a row has, such as a grade or a number of stars.

    loss = -log P(y), with the probabilities of the proportional-odds model (`OrdinalHead`).

    The order is `levels` where given, else the natural one of the labels; where spelling tells no order, as of low,
    high and medium, `levels` has to be given.

    >>> import torch
    >>> codec = Ordinal(levels=["low", "medium", "high"]).fit(["high", "low", "low"])
    >>> codec.decode(torch.tensor([[0.4, 0.3, 0.3]]).log())[""]
    ['medium']
    """

    paper: ClassVar[str] = "McCullagh, Regression Models for Ordinal Data, JRSS B 1980"
    metric_names: ClassVar[tuple[str, ...]] = ("quadratic_kappa", "accuracy", "mae")
    rules: ClassVar[Mapping[str, type[Rule]]] = {
        "mean": MeanOfClasses,
        "product": ProductOfClasses,
        "stacking": StackingOfClasses,
    }

    kind: Literal["ordinal"] = "ordinal"
    levels: tuple[Label, ...] | None = Field(
        default=None,
        min_length=2,
        description="The labels from the lowest to the highest; those of the training rows in natural order (numbers "
        "by value, single letters, equal words with numbers in them) when left out.",
    )
    coverage: Coverage = COVERAGE

    @field_validator("levels")
    @classmethod
    def _different(cls, levels: tuple[Label, ...] | None) -> tuple[Label, ...] | None:
        if levels is not None and len({text_of(level) for level in levels}) < len(levels):
            raise ValueError(f"each level is named once, found {', '.join(map(text_of, levels))}")
        return levels

    def fit(self, cells: Iterable[object]) -> OrdinalCodec:
        """Collect the levels; `DataError` where fewer than two occur, their order is unknown, or one is no level."""
        counts = count_labels(cells)
        if not counts:
            raise DataError("no training row has a label; name the right column, or leave the task out")
        if len(counts) == 1:
            raise DataError(
                f"every training row with a label has the same one, {text_of(next(iter(counts)))!r}: there is nothing "
                "to learn; add rows with other labels, or leave the task out"
            )
        if self.levels is not None:
            return OrdinalCodec(classes=_containing(self.levels, counts), coverage=self.coverage)
        if len(counts) > 20 and sum(counts.values()) == len(counts):
            raise DataError(
                f"each of the {len(counts)} labels occurs once, so no level can be learned; "
                "try kind regression if they are numbers, or name another column"
            )
        return OrdinalCodec(classes=_in_order(counts), coverage=self.coverage)

    def restore(self, state: dict[str, Any]) -> OrdinalCodec:
        """The codec of a bundle."""
        return OrdinalCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """With the levels written out."""
        assert isinstance(codec, OrdinalCodec)
        return self.model_copy(update={"levels": codec.classes})

    def output_shape(self, codec: Codec) -> tuple[int, ...]:
        """A log probability for each level."""
        assert isinstance(codec, OrdinalCodec)
        return (len(codec.classes),)

    def num_classes(self, codec: Codec) -> int | None:
        """As many as there are levels."""
        assert isinstance(codec, OrdinalCodec)
        return len(codec.classes)

    def build(self, codec: Codec, input_width: int) -> OrdinalHead:
        """One weight vector and the cut points."""
        assert isinstance(codec, OrdinalCodec)
        return OrdinalHead(input_width, num_classes=len(codec.classes))

    def loss(self, output: Float[Tensor, "B C"], target: Cells) -> Float[Tensor, "B"]:
        """The negative log-likelihood of each labelled row; 0 for a held-out label that is no level."""
        known = target.present & (target.values["target"] >= 0)
        return labelled_loss(_cross_entropy, output, Cells(target.values, known))


def _containing(levels: Sequence[Label], counts: Mapping[Label, int]) -> tuple[Label, ...]:
    known = [text_of(level) for level in levels]
    for text in map(text_of, counts):
        if text not in known:
            raise DataError(f"the label {text!r} is not among the levels{did_you_mean(text, known)}")
    return tuple(levels)


def _in_order(counts: Mapping[Label, int]) -> tuple[Label, ...]:
    """The labels, already in natural order; `DataError` where that says nothing."""
    texts = [text_of(label) for label in counts]
    shapes = {re.sub(r"\d+", "0", text) for text in texts}
    numbers = all(number_in(text) is not None for text in texts)
    letters = all(len(text) == 1 and text.isalpha() for text in texts)
    if not (numbers or letters or (len(shapes) == 1 and "0" in next(iter(shapes)))):
        some = ", ".join(texts[:6]) + (", ..." if len(texts) > 6 else "")
        raise DataError(
            f"the spelling of the labels does not tell their order ({some}): write them from the lowest to the "
            f"highest, levels: [{some}]"
        )
    return tuple(counts)


def _cross_entropy(output: Tensor, label: Tensor) -> Tensor:
    return F.cross_entropy(output, label, reduction="none")
