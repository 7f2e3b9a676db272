"""The Spec of regression: what is predicted of a number, and by which error."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

import numpy as np
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from motet.core.errors import DataError, SpecError
from motet.core.flow import Cells
from motet.tasks.answer import AnswerHead
from motet.tasks.base import Codec
from motet.tasks.heads import LinearHead
from motet.tasks.losses import labelled_loss
from motet.tasks.numbers import readable_numbers
from motet.tasks.regression.gaussian import GaussianCodec, likelihood
from motet.tasks.regression.point import RegressionCodec, absolute, huber, squared
from motet.tasks.regression.quantile import MEDIAN, QuantileCodec, pinball
from motet.tasks.regression.several import SeveralCodec, lists_of
from motet.tasks.row import Head, RowTask
from motet.tasks.rules import (
    EvidentialOfNumbers,
    Joining,
    MeanOfGaussians,
    MeanOfNumbers,
    ProductOfGaussians,
    ProductOfNumbers,
    Rule,
    StackingOfGaussians,
    StackingOfNumbers,
)

OneNumber = RegressionCodec | QuantileCodec | GaussianCodec
Rules = Mapping[str, Callable[[Joining], Rule]]
BETA = 0.5

_OF_QUANTILES: Rules = {"mean": MeanOfNumbers, "stacking": StackingOfNumbers}
_OF_SEVERAL: Rules = {**_OF_QUANTILES, "product": ProductOfNumbers, "uncertainty": ProductOfNumbers}
_OF_GAUSSIANS: Rules = {
    "mean": MeanOfGaussians,
    "product": ProductOfGaussians,
    "uncertainty": ProductOfGaussians,  # to weigh by the precision they state
    "stacking": StackingOfGaussians,
}


class Regression(RowTask):
    """Predict a number, or several, with intervals calibrated on held-out rows.

    With residual e = (f - y) / std(y): the loss is e^2 (squared), |e| (absolute), or e^2 / 2 up to |e| = 1 and
    |e| - 1/2 beyond (huber). `quantile` predicts quantiles by the pinball loss, `gaussian` a mean and a deviation by
    the likelihood; then the interval is wide where rows are hard to predict. Of several numbers, which `columns` name
    or a cell lists, each is standardised by itself; the loss is the mean over them.

    >>> import torch
    >>> codec = Regression().fit([10, "20", 30.0])
    >>> codec.decode(torch.tensor([0.0]))
    {'': [20.0]}
    """

    paper: ClassVar[str] = (
        "Lei et al., Distribution-Free Predictive Inference for Regression, JASA 2018 (interval); Romano et al., "
        "Conformalized Quantile Regression, NeurIPS 2019 (quantile); Nix & Weigend, ICNN 1994, and Seitzer et al., "
        "On the Pitfalls of Heteroscedastic Uncertainty Estimation, ICLR 2022 (gaussian)"
    )
    metric_names: ClassVar[tuple[str, ...]] = ("r2", "mae", "rmse", "spearman")
    rules: ClassVar[Mapping[str, type[Rule]]] = {
        "mean": MeanOfNumbers,
        "product": ProductOfNumbers,
        "uncertainty": ProductOfNumbers,  # of Gaussians, to weigh by confidence is to weigh by precision
        "evidential": EvidentialOfNumbers,
        "stacking": StackingOfNumbers,
    }
    several: ClassVar[bool] = True

    kind: Literal["regression"] = "regression"
    error: Literal["squared", "huber", "absolute", "quantile", "gaussian"] = Field(
        default="squared",
        description="What the loss makes of a residual; huber and absolute are pulled less by outliers; quantile and "
        "gaussian also learn how uncertain each row is.",
    )
    quantiles: tuple[float, ...] | None = Field(
        default=None,
        description="With error quantile: the levels that are predicted, 0.5 among them, which is the answer; the "
        "outer ones make the interval. Left out: 0.5 and the ends of the interval.",
    )
    beta: float = Field(
        default=BETA,
        ge=0,
        le=1,
        description="With error gaussian: by which power of its variance a row's likelihood is weighted; 0: the "
        "likelihood itself; 1: means are learned as by the squared error.",
    )
    interval: float = Field(default=0.9, gt=0, lt=1, description="How often the truth is to lie between low and high.")
    unit: str | None = Field(
        default=None,
        min_length=1,
        description="Tasks that name the same unit are standardised together, by one mean and deviation of all their "
        "labels: for tasks that are alike, of which some have few rows; null: each by its own.",
    )
    head: Literal["linear", "none"] = Field(
        default="linear",
        description="linear: a layer of the task's own; none: what it reads, one number per row, is its answer.",
    )
    separator: str = Field(
        default="|", min_length=1, description="What divides the numbers of one cell of text that lists several."
    )

    @model_validator(mode="after")
    def _fields_that_go_together(self) -> Self:
        if self.quantiles is not None and self.error != "quantile":
            raise ValueError(f"`quantiles` are for error: quantile, found error: {self.error}")
        if self.quantiles is not None and not _are_levels(self.quantiles):
            raise ValueError(f"quantiles rise between 0 and 1, with 0.5 among them; found {list(self.quantiles)}")
        if self.beta != BETA and self.error != "gaussian":
            raise ValueError(f"`beta` is for error: gaussian, found error: {self.error}")
        if self.columns is not None and self.unit is not None:
            raise ValueError("`unit` is for tasks of one number; each of several `columns` is standardised by itself")
        if self.head == "none" and (self.columns is not None or self.error in ("quantile", "gaussian")):
            raise ValueError("`head: none` answers with one number; several `columns`, quantile and gaussian have more")
        return self

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantiles that error quantile predicts."""
        apart = round(self.interval / 2, 12)
        return self.quantiles or (round(MEDIAN - apart, 12), MEDIAN, round(MEDIAN + apart, 12))

    def fit(self, cells: Iterable[object]) -> OneNumber | SeveralCodec:
        """Mean and standard deviation of each number; `DataError` where there are not two different ones."""
        cells = list(cells)
        values = np.array(list(readable_numbers(cells)))
        lists = [] if self.columns is None and len(values) else lists_of(cells, self.separator, of_one=self._of_one)
        if self.columns is None and not lists:
            return self._fit_number(values)
        names = self._names(lists)
        rows = np.array([one for one in lists if len(one) == len(names)]).reshape(-1, len(names))
        places: Any = tuple(self._fit_number(rows[:, i], where=f"{name}: ") for i, name in enumerate(names))
        return SeveralCodec(names=names, places=places, separator=self.separator)

    def fit_alike(self, codec: OneNumber) -> OneNumber:
        """The codec of this task, standardised as that of another."""
        return self._codec(codec.center, codec.scale)

    def restore(self, state: dict[str, Any]) -> OneNumber | SeveralCodec:
        """The codec of a bundle."""
        if "places" in state:
            return SeveralCodec.model_validate(state)
        if self.error == "quantile":
            return QuantileCodec.model_validate(state)
        return (GaussianCodec if self.error == "gaussian" else RegressionCodec).model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """With the quantiles written out."""
        return self.model_copy(update={"quantiles": self.levels}) if self.error == "quantile" else self

    def rules_for(self, codec: Codec) -> Rules:
        """Fewer for several numbers, of which a stream has one precision, and for quantiles, of which it has none."""
        if self.error == "gaussian":
            return _OF_GAUSSIANS
        if self.error == "quantile":
            return _OF_QUANTILES
        return _OF_SEVERAL if isinstance(codec, SeveralCodec) else self.rules

    def output_shape(self, codec: Codec) -> tuple[int, ...]:
        """One value; with error quantile one for each, with gaussian two; all that for each of several numbers."""
        places = (len(codec.places),) if isinstance(codec, SeveralCodec) else ()
        parts = {"quantile": (len(self.levels),), "gaussian": (2,)}
        return places + parts.get(self.error, ())

    def num_classes(self, codec: Codec) -> int | None:
        """None: a number is no class."""
        return None

    def build(self, codec: Codec, input_width: int) -> Head:
        """A linear layer; or nothing, which takes features of width 1 and answers one number (else `SpecError`)."""
        if self.head == "none":
            if self.output_shape(codec):
                raise SpecError("`head: none` answers with one number, and the labels list several; use head: linear")
            return AnswerHead(input_width)
        return self.probe(codec, input_width)

    def probe(self, codec: Codec, input_width: int) -> Head:
        """The linear layer, whatever `head` says: the tokens of an input are as wide as they are."""
        return LinearHead(input_width, output_shape=self.output_shape(codec))

    def loss(self, output: Float[Tensor, "B ..."], target: Cells) -> Float[Tensor, "B"]:
        """The error of each labelled row, in standardised units; of several numbers the mean."""
        return labelled_loss(self._error, output, target)

    def _error(self, output: Tensor, label: Tensor) -> Tensor:
        if self.error == "quantile":
            return pinball(output, label, levels=self.levels)
        if self.error == "gaussian":
            return likelihood(output, label, beta=self.beta)
        return _ERRORS[self.error](output, label)

    @property
    def _of_one(self) -> bool:
        """Whether the task names its columns and there is one: a cell is then the number itself."""
        return self.columns is not None and len(self.columns) == 1

    def _names(self, lists: Sequence[Sequence[float]]) -> tuple[str, ...]:
        """What the numbers of a row are called: as their columns, or as their places, as many as most lists have."""
        if isinstance(self.columns, str):
            raise SpecError(f"the glob {self.columns!r} has to be resolved to names before the task is fitted")
        most_common = Counter(map(len, lists)).most_common(1)
        return self.columns or tuple(f"number {place + 1}" for place in range(most_common[0][0]))

    def _fit_number(self, values: np.ndarray, *, where: str = "") -> OneNumber:
        if len(values) == 0:
            raise DataError(
                f"{where}no training row has a number as label; name the right column, or leave the task out"
            )
        if values.min() == values.max():
            raise DataError(
                f"{where}every training row with a label has the same one, {values[0]:g}: there is nothing to learn; "
                "add rows with other labels, or leave the task out"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            center, scale = float(values.mean()), float(values.std())
        if not math.isfinite(scale) or scale == 0:
            raise DataError(f"{where}the labels are too large or too close together to standardise; rescale the column")
        return self._codec(center, scale)

    def _codec(self, center: float, scale: float) -> OneNumber:
        if self.error == "quantile":
            return QuantileCodec(center=center, scale=scale, interval=self.interval, levels=self.levels)
        codec = GaussianCodec if self.error == "gaussian" else RegressionCodec
        return codec(center=center, scale=scale, interval=self.interval)


def _are_levels(quantiles: Sequence[float]) -> bool:
    rising = all(low < high for low, high in pairwise((0.0, *quantiles, 1.0)))
    return rising and MEDIAN in quantiles


_ERRORS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared": squared,
    "huber": huber,
    "absolute": absolute,
}
