"""Numbers, vectors, pictures and sounds said again: standardised arrays of one size.

N rows, S the sizes of an array.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from motet.tasks.base import Codec, Metric
from motet.tasks.reconstruction.arrayforms import AnyArrayForm


class ArrayCodec(Codec):
    """Target and output: `(x - mean) / deviation`, float32 `[B, *S]`, as the input's preparation standardises."""

    form: AnyArrayForm

    def read(self, cell: object) -> Float32[np.ndarray, "*S"]:
        """The standardised array."""
        return np.asarray((self.form.read(cell) - self._mean) / self._deviation, dtype=np.float32)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": float32 [n, *S]}`."""
        return {"target": torch.from_numpy(np.stack(items))}

    def decode(self, output: Float[Tensor, "N *S"]) -> dict[str, list[Any]]:
        """In the input's own units: a number, a list, the bytes of a PNG, spectra as lists of bands."""
        arrays = output.detach().double().cpu().numpy() * self._deviation + self._mean
        return {"": [self.form.answer(one) for one in arrays]}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """Itself: there is no interval."""
        return self

    def metrics(self) -> tuple[Metric, ...]:
        """mse, in standardised units: who always says the mean has about 1."""
        return (mean_of("mse", _squares),)

    def prior(self, target: Float[Tensor, "N *S"]) -> Float[Tensor, "*S"]:
        """The mean."""
        return target.mean(dim=0)

    def trivial(self, prior: Float[Tensor, "*S"], target: Float[Tensor, "N *S"]) -> Float[Tensor, "N *S"]:
        """The mean, for every row."""
        return prior.expand_as(target)

    def certain(self, target: Float[Tensor, "N *S"]) -> Float[Tensor, "N *S"]:
        """The arrays themselves."""
        return target

    @property
    def _mean(self) -> Float64[np.ndarray, "c"]:
        return np.array(self.form.mean)

    @property
    def _deviation(self) -> Float64[np.ndarray, "c"]:
        return np.array(self.form.deviation)


def mean_of(name: str, counts: Any) -> Metric:
    """A metric that is lowest at best: the sum of the first of what each row counts, over that of the second."""

    def of_counts(total: np.ndarray) -> float:
        return float(total[0] / total[1]) if total[1] > 0 and np.isfinite(total[0]) else float("nan")

    def compute(output: Tensor, target: Tensor) -> float:
        return of_counts(counts(output, target).sum(axis=0)) if len(target) else float("nan")

    return Metric(name, higher_is_better=False, compute=compute, counts=counts, of_counts=of_counts)


def _squares(output: Tensor, target: Tensor) -> Float64[np.ndarray, "N 2"]:
    squares = ((output.detach().double() - target.double()) ** 2).reshape(len(target), -1).cpu().numpy()
    return np.stack([squares.sum(axis=1), np.full(len(squares), squares.shape[1])], axis=1)
