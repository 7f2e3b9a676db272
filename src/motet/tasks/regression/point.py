"""One number answered by one value, and how far from it the truth rarely is."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from motet.tasks.base import Metric
from motet.tasks.metrics import Floats
from motet.tasks.numbers import conformal_bound
from motet.tasks.regression.standard import metrics_of, standardised
from motet.tasks.row import RowCodec


class RegressionCodec(RowCodec):
    """Target and output `(y - center) / scale`, float32 `[B]`; answers and metrics are in the units of y.

    `half_width`, in units of `scale`, is None until `calibrated`.
    """

    center: float
    scale: float = Field(gt=0)
    interval: float
    half_width: float | None = None

    def read(self, cell: object) -> np.ndarray:
        """The standardised number."""
        return standardised(cell, center=self.center, scale=self.scale)

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
        residuals = (output.detach().double() - target.double()).abs().cpu()
        return self.model_copy(update={"half_width": conformal_bound(residuals, self.interval)})

    def certain(self, target: Tensor) -> Tensor:
        """The number."""
        return target

    def metrics(self) -> tuple[Metric, ...]:
        """r2, mae, rmse, spearman; mae and rmse in the user's units."""
        return metrics_of(lambda values: values, scale=self.scale)

    def prior(self, target: Tensor) -> Tensor:
        """The mean."""
        return target.double().mean().float()

    def _in_units(self, standard: Floats) -> Floats:
        return self.center + self.scale * standard


def squared(output: Tensor, label: Tensor) -> Tensor:
    """(f - y)^2."""
    return (output - label).square()


def absolute(output: Tensor, label: Tensor) -> Tensor:
    """|f - y|."""
    return (output - label).abs()


def huber(output: Tensor, label: Tensor) -> Tensor:
    """(f - y)^2 / 2 up to |f - y| = 1, |f - y| - 1/2 beyond."""
    return F.huber_loss(output, label, reduction="none")
