"""One number answered by a mean and a deviation of its own for every row."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.tasks.base import Metric
from motet.tasks.losses import CERTAIN
from motet.tasks.numbers import conformal_bound
from motet.tasks.regression.standard import metrics_of, standardised
from motet.tasks.row import RowCodec
from motet.tasks.rules.gaussian import LEAST_DEVIATION, deviation_of, raw_of


class GaussianCodec(RowCodec):
    """Target `(y - center) / scale`, float32 `[B]`; output the mean and, in raw form, the deviation of a Gaussian.

    The raw form r of the deviation is `s = 0.01 + softplus(r)`, in units of `scale`. The answer is the mean.

    `width` is None until `calibrated`: how many deviations "low" and "high" lie from the mean; until then as many as
    the Gaussian has it.

    >>> codec = GaussianCodec(center=10.0, scale=2.0, interval=0.9)
    >>> one = torch.stack([torch.tensor(1.0), raw_of(torch.tensor(0.5))])
    >>> {name: round(column[0], 2) for name, column in codec.decode(one[None]).items()}
    {'': 12.0, 'low': 10.36, 'high': 13.64}
    """

    center: float
    scale: float = Field(gt=0)
    interval: float
    width: float | None = None

    def read(self, cell: object) -> np.ndarray:
        """The standardised number."""
        return standardised(cell, center=self.center, scale=self.scale)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": float32 [n]}`."""
        return {"target": torch.from_numpy(np.stack(items))}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        """The mean in the user's units; "low" and "high" `width` deviations from it."""
        raw = output.detach().double().cpu()
        mean = raw[:, 0]
        width = NormalDist().inv_cdf((1 + self.interval) / 2) if self.width is None else self.width
        apart = width * deviation_of(raw[:, 1])
        columns = {"": mean, "low": mean - apart, "high": mean + apart}
        return {name: (self.center + self.scale * values).tolist() for name, values in columns.items()}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """With the width of split conformal prediction for errors that differ in size, from rows not trained on.

        The ceil((n + 1) * interval)-th smallest of n scores |y - mean| / deviation: a new row drawn like these lies
        within with probability at least `interval` (Lei et al., JASA 2018, section 5.2), and is promised a narrow
        interval only where its deviation is small. With fewer rows than that the Gaussian is believed.
        """
        raw = output.detach().double().cpu()
        scores = (target.double().cpu() - raw[:, 0]).abs() / deviation_of(raw[:, 1])
        return self.model_copy(update={"width": conformal_bound(scores, self.interval)})

    def certain(self, target: Tensor) -> Tensor:
        """The number, with the least deviation there is."""
        return torch.stack([target, torch.full_like(target, -CERTAIN)], dim=-1)

    def metrics(self) -> tuple[Metric, ...]:
        """r2, mae, rmse, spearman of the mean; mae and rmse in the user's units."""
        return metrics_of(lambda values: values[:, 0], scale=self.scale)

    def prior(self, target: Tensor) -> Tensor:
        """Mean and deviation of the labels."""
        wide = target.double()
        return torch.stack([wide.mean(), raw_of(wide.std(correction=0))]).float()


def likelihood(
    output: Float[Tensor, "*rest 2"], label: Float[Tensor, "*rest"], *, beta: float
) -> Float[Tensor, "*rest"]:
    """`s^(2 beta) (e^2 / (2 s^2) + log(s / 0.01))` with e = y - mean and deviation s; no gradient through `s^(2 beta)`.

    The negative log-likelihood (Nix & Weigend, ICNN 1994) shifted by a constant so that it is never below 0, and for
    beta > 0 weighted as in Seitzer et al. (ICLR 2022): without the weight, rows that are predicted badly take a large
    deviation, by which their mean is hardly taught any more. With beta 1 the mean is taught as by the squared error.

    >>> likelihood(torch.stack([torch.tensor(0.0), raw_of(torch.tensor(1.0))]), torch.tensor(2.0), beta=0.0)
    tensor(6.6052)
    """
    mean, deviation = output[..., 0], deviation_of(output[..., 1])
    loss = ((label - mean) / deviation).square() / 2 + (deviation / LEAST_DEVIATION).log()
    return deviation.detach() ** (2 * beta) * loss
