"""One number answered by quantiles of its distribution: the pinball loss, and a conformal correction of the outer two.

Q quantile levels; an output is `[B, Q]`.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.tasks.base import Metric
from motet.tasks.metrics import Floats
from motet.tasks.numbers import conformal_bound
from motet.tasks.regression.standard import metrics_of, standardised
from motet.tasks.row import RowCodec

MEDIAN = 0.5


class QuantileCodec(RowCodec):
    """Target `(y - center) / scale`, float32 `[B]`; output its quantiles at the ascending `levels`, `[B, Q]`.

    The answer is the median. Quantiles that cross are sorted wherever they are read: the sorted ones are never further
    from the truth (Chernozhukov, Fernandez-Val & Galichon, Econometrica 2010).

    `correction`, in units of `scale`, is None until `calibrated`; "low" and "high" are the outer quantiles until then.

    >>> codec = QuantileCodec(center=10.0, scale=2.0, interval=0.8, levels=(0.1, 0.5, 0.9))
    >>> codec.decode(torch.tensor([[2.0, 0.0, -1.0]]))
    {'': [10.0], 'low': [8.0], 'high': [14.0]}
    """

    center: float
    scale: float = Field(gt=0)
    interval: float
    levels: tuple[float, ...] = Field(min_length=1)
    correction: float | None = None

    def read(self, cell: object) -> np.ndarray:
        """The standardised number."""
        return standardised(cell, center=self.center, scale=self.scale)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": float32 [n]}`."""
        return {"target": torch.from_numpy(np.stack(items))}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        """The median in the user's units; "low" and "high" from the outer quantiles, never beyond the median."""
        ordered = np.sort(output.detach().double().cpu().numpy(), axis=-1)
        median, apart = self._median(ordered), self.correction
        columns = {"": median}
        if apart is not None or len(self.levels) > 1:
            columns["low"] = np.minimum(ordered[:, 0] - (apart or 0.0), median)
            columns["high"] = np.maximum(ordered[:, -1] + (apart or 0.0), median)
        return {name: (self.center + self.scale * values).tolist() for name, values in columns.items()}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """With the correction of conformalised quantile regression, from rows that were not trained on.

        The ceil((n + 1) * interval)-th smallest of n scores max(low - y, y - high), which is below 0 where the outer
        quantiles lie too far apart: a new row drawn like these lies between low - correction and high + correction
        with probability at least `interval` (Romano, Patterson & Candes, NeurIPS 2019). With fewer rows than that
        there is none, and the outer quantiles stay as they are.
        """
        ordered, truth = output.detach().double().cpu().sort(dim=-1).values, target.double().cpu()
        scores = torch.maximum(ordered[:, 0] - truth, truth - ordered[:, -1])
        return self.model_copy(update={"correction": conformal_bound(scores, self.interval)})

    def certain(self, target: Tensor) -> Tensor:
        """Every quantile is the number."""
        return target[:, None].expand(-1, len(self.levels))

    def metrics(self) -> tuple[Metric, ...]:
        """r2, mae, rmse, spearman of the median; mae and rmse in the user's units."""
        return metrics_of(lambda values: self._median(np.sort(values, axis=-1)), scale=self.scale)

    def prior(self, target: Tensor) -> Tensor:
        """The quantiles of the labels."""
        return torch.from_numpy(np.quantile(target.double().cpu().numpy(), self.levels)).float()

    def _median(self, ordered: Floats) -> Floats:
        return ordered[:, self.levels.index(MEDIAN)]


def pinball(
    output: Float[Tensor, "*rest Q"], label: Float[Tensor, "*rest"], *, levels: Sequence[float]
) -> Float[Tensor, "*rest"]:
    """`2/Q sum_q max(q e, (q - 1) e)` with e = y - f_q; for the median alone it is |e| (Koenker & Bassett, 1978).

    >>> pinball(torch.tensor([[1.0, 1.0]]), torch.tensor([3.0]), levels=(0.1, 0.5))
    tensor([1.2000])
    """
    level = torch.as_tensor(levels, dtype=output.dtype, device=output.device)
    error = label[..., None] - output
    return 2 * torch.maximum(level * error, (level - 1) * error).mean(dim=-1)
