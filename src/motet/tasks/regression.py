"""A number: one standardised value, squared or robust error, and an interval that holds what it promises."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.core.errors import CellError, DataError
from motet.core.flow import Cells
from motet.tasks.answer import AnswerHead
from motet.tasks.base import Codec, Metric
from motet.tasks.heads import LinearHead
from motet.tasks.losses import labelled_loss
from motet.tasks.metrics import Floats, mean_absolute_error, metric, r2, root_mean_squared_error, spearman
from motet.tasks.row import Head, RowCodec, RowTask
from motet.tasks.rules import (
    EvidentialOfNumbers,
    MeanOfNumbers,
    ProductOfNumbers,
    Rule,
    StackingOfNumbers,
)


class RegressionCodec(RowCodec):
    """Target and output `(y - center) / scale`, float32 `[B]`; answers and metrics are in the units of y.

    `half_width`, in units of `scale`, is None until `calibrated`.
    """

    center: float
    scale: float = Field(gt=0)
    interval: float
    half_width: float | None = None

    def read(self, cell: object) -> np.ndarray:
        """The standardised number; computed in float64, so that large numbers far from 0 keep their differences."""
        value = (number_of(cell) - self.center) / self.scale
        if abs(value) > float(np.finfo(np.float32).max):
            raise CellError("too far from every number of the training rows")
        return np.asarray(value, dtype=np.float32)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": float32 [n]}`."""
        return {"target": torch.from_numpy(np.stack(items))}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        """The number in the user's units; "low" and "high" of its interval once `calibrated`."""
        standard = output.detach().double().cpu().numpy()
        columns: dict[str, list[Any]] = {"": self._in_units(standard).tolist()}
        if self.half_width is not None:
            columns["low"] = self._in_units(standard - self.half_width).tolist()
            columns["high"] = self._in_units(standard + self.half_width).tolist()
        return columns

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """With the half width of split conformal prediction, from rows that were not trained on.

        The ceil((n + 1) * interval)-th smallest of n residuals |y - f|: a new row drawn like these lies within with
        probability at least `interval` (Lei et al., JASA 2018); here a bit less, since they chose the epoch too. With
        fewer rows than that there is no such width, and no interval is given.
        """
        residuals = (output.detach().double() - target.double()).abs().cpu().sort().values
        rank = math.ceil((len(residuals) + 1) * self.interval)
        if rank > len(residuals) or not math.isfinite(residuals[rank - 1]):
            return self.model_copy(update={"half_width": None})
        return self.model_copy(update={"half_width": float(residuals[rank - 1])})

    def certain(self, target: Tensor) -> Tensor:
        """The number."""
        return target

    def metrics(self) -> tuple[Metric, ...]:
        """r2, mae, rmse, spearman; mae and rmse in the user's units."""
        return (
            metric("r2", r2),
            metric("mae", lambda f, y: self.scale * mean_absolute_error(f, y), higher_is_better=False),
            metric("rmse", lambda f, y: self.scale * root_mean_squared_error(f, y), higher_is_better=False),
            metric("spearman", spearman),
        )

    def prior(self, target: Tensor) -> Tensor:
        """The mean."""
        return target.double().mean().float()

    def _in_units(self, standard: Floats) -> Floats:
        return self.center + self.scale * standard


class Regression(RowTask):
    """Predict a number, with an interval calibrated on held-out rows.

    With residual e = (f - y) / std(y): the loss is e^2 (squared), |e| (absolute), or e^2 / 2 up to |e| = 1 and
    |e| - 1/2 beyond (huber).

    >>> codec = Regression().fit([10, "20", 30.0])
    >>> codec.decode(torch.tensor([0.0]))
    {'': [20.0]}
    """

    paper: ClassVar[str] = "Lei et al., Distribution-Free Predictive Inference for Regression, JASA 2018 (interval)"
    metric_names: ClassVar[tuple[str, ...]] = ("r2", "mae", "rmse", "spearman")
    rules: ClassVar[Mapping[str, type[Rule]]] = {
        "mean": MeanOfNumbers,
        "product": ProductOfNumbers,
        "uncertainty": ProductOfNumbers,  # of Gaussians, to weigh by confidence is to weigh by precision
        "evidential": EvidentialOfNumbers,
        "stacking": StackingOfNumbers,
    }

    kind: Literal["regression"] = "regression"
    error: Literal["squared", "huber", "absolute"] = Field(
        default="squared",
        description="What the loss makes of a residual; huber and absolute are pulled less by outliers.",
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

    def fit(self, cells: Iterable[object]) -> RegressionCodec:
        """Mean and standard deviation; `DataError` where there are not two different numbers."""
        values = np.array(list(_readable_numbers(cells)))
        if len(values) == 0:
            raise DataError("no training row has a number as label; name the right column, or leave the task out")
        if values.min() == values.max():
            raise DataError(
                f"every training row with a label has the same one, {values[0]:g}: there is nothing to learn; "
                "add rows with other labels, or leave the task out"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            center, scale = float(values.mean()), float(values.std())
        if not math.isfinite(scale) or scale == 0:
            raise DataError("the labels are too large or too close together to standardise; rescale the column")
        return RegressionCodec(center=center, scale=scale, interval=self.interval)

    def restore(self, state: dict[str, Any]) -> RegressionCodec:
        """The codec of a bundle."""
        return RegressionCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """Itself: nothing is left to be found."""
        return self

    def output_shape(self, codec: Codec) -> tuple[int, ...]:
        """One value."""
        return ()

    def num_classes(self, codec: Codec) -> int | None:
        """None: a number is no class."""
        return None

    def build(self, codec: Codec, input_width: int) -> Head:
        """A linear layer to one value per row; or nothing, which takes features of width 1 (else `SpecError`)."""
        if self.head == "none":
            return AnswerHead(input_width)
        return self.probe(codec, input_width)

    def probe(self, codec: Codec, input_width: int) -> Head:
        """The linear layer, whatever `head` says: the tokens of an input are as wide as they are."""
        return LinearHead(input_width, output_shape=self.output_shape(codec))

    def loss(self, output: Float[Tensor, "B"], target: Cells) -> Float[Tensor, "B"]:
        """The error of each labelled row, in standardised units."""
        return labelled_loss(_ERRORS[self.error], output, target)


def number_of(cell: object) -> float:
    """A finite number from a cell, or `CellError`: no comma, no unit, no truth value is taken for one.

    >>> number_of(" 1.5 "), number_of(2)
    (1.5, 2.0)
    """
    value = cell.item() if isinstance(cell, np.generic) else cell
    if isinstance(value, bool) or not isinstance(value, int | float | str) or (isinstance(value, str) and "_" in value):
        raise CellError("not a number")
    try:
        number = float(value)
    except ValueError:
        raise CellError("not a number") from None
    except OverflowError:
        raise CellError("not a finite number") from None
    if not math.isfinite(number):
        raise CellError("not a finite number")
    return number


def _readable_numbers(cells: Iterable[object]) -> Iterable[float]:
    for cell in cells:
        try:
            yield number_of(cell)
        except CellError:
            continue


def _squared(output: Tensor, label: Tensor) -> Tensor:
    return (output - label).square()


def _absolute(output: Tensor, label: Tensor) -> Tensor:
    return (output - label).abs()


def _huber(output: Tensor, label: Tensor) -> Tensor:
    return F.huber_loss(output, label, reduction="none")


_ERRORS = {"squared": _squared, "huber": _huber, "absolute": _absolute}
