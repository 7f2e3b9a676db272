"""When something happened, or how long a row was seen without it; and what is answered: a risk."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from motet.core.errors import CellError
from motet.tasks.base import Metric
from motet.tasks.labels import flag_of
from motet.tasks.metrics import Floats, metric
from motet.tasks.numbers import number_of
from motet.tasks.row import RowCodec
from motet.tasks.survival.concordance import concordance
from motet.tasks.survival.hazard import Baseline


class SurvivalCodec(RowCodec):
    """Target `(time, event)`, float64 `[B, 2]`, event 0 or 1; output the log hazard `[B]`; a cell is a list of the two.

    `baseline` is None until `calibrated`.
    """

    horizon: float = Field(gt=0)
    baseline: Baseline | None = None

    def read(self, cell: object) -> np.ndarray:
        """Time and event."""
        if not isinstance(cell, list | tuple | np.ndarray) or len(cell) != 2:
            raise CellError("expected a list of two values, the time and whether it happened")
        time = number_of(cell[0])
        if time <= 0:
            raise CellError(f"time {time:g} is not above 0; a row that was never seen says nothing: leave it empty")
        return np.array([time, flag_of(cell[1])], dtype=np.float64)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": float64 [n, 2]}`."""
        return {"target": torch.from_numpy(np.stack(items))}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        """The log hazard, higher for who is expected to live less long.

        Once `calibrated` with it go "median", the time that one of two such rows outlives (None: beyond all that was
        seen), and "probability", that of outliving the `horizon`.
        """
        log_hazard = output.detach().double().cpu().numpy()
        columns: dict[str, list[Any]] = {"": log_hazard.tolist()}
        if self.baseline is not None:
            columns["median"] = self.baseline.median(log_hazard)
            columns["probability"] = self.baseline.survival(log_hazard, self.horizon).tolist()
        return columns

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """With the baseline hazard of rows that were not trained on."""
        time, event = target.double().cpu().numpy().T
        baseline = Baseline.fitted(output.detach().double().cpu().numpy(), time, event > 0.5)
        return self.model_copy(update={"baseline": baseline})

    def certain(self, target: Tensor) -> Tensor:
        """In order of time, events before those who were last seen then."""
        when = torch.stack([target[:, 0], 1 - target[:, 1]], dim=1)
        place: Tensor = torch.unique(when, dim=0, return_inverse=True)[1]
        return -place.float()

    def metrics(self) -> tuple[Metric, ...]:
        """That of Harrell."""
        return (metric("concordance", _concordance),)

    def prior(self, target: Tensor) -> Tensor:
        """0: without any input all rows are alike."""
        return torch.zeros(())


def _concordance(log_hazard: Floats, target: np.ndarray) -> float:
    return concordance(log_hazard, target[:, 0], target[:, 1] > 0.5)
