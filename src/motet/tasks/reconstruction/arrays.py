"""Numbers, vectors, pictures and sounds said again: standardised arrays of one size.

N rows, S the sizes of an array.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Self

import numpy as np
import torch
from jaxtyping import Float, Float64
from pydantic import Field
from torch import Tensor

from motet.tasks.base import Codec, Metric
from motet.tasks.metrics import metric_of_counts, ratio_of
from motet.tasks.reconstruction.arrayforms import NumberForm, VectorForm
from motet.tasks.reconstruction.mediaforms import PictureForm, SoundForm

AnyArrayForm = Annotated[NumberForm | VectorForm | PictureForm | SoundForm, Field(discriminator="kind")]


class ArrayCodec(Codec):
    """Target and output: the cell standardised, float32 `[B, *S]`.

    Numbers and vectors are so as the input's preparation does it, clipping and ranks included; pictures and sounds by
    mean and deviation of what is left of them when they are reduced.
    """

    form: AnyArrayForm

    @property
    def varies(self) -> bool:
        """Whether what is asked for follows random views of the input."""
        return self.form.varies

    def read(self, cell: object) -> np.ndarray:
        """What `augment` and `batch` need of the cell, in its own units."""
        return self.form.read(cell)

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The item in the view that the input has under the same generator."""
        return self.form.augment(item, generator)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": float32 [n, *S]}`."""
        return {"target": torch.from_numpy(self.form.scaled(self.form.arrays(items)).astype(np.float32))}

    def decode(self, output: Float[Tensor, "N *S"]) -> dict[str, list[Any]]:
        """In the input's own units: a number, a list, the bytes of a PNG, spectra as lists of bands."""
        arrays = self.form.unscaled(output.detach().double().cpu().numpy())
        return {"": [self.form.answer(one) for one in arrays]}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """Itself: there is no interval."""
        return self

    def metrics(self) -> tuple[Metric, ...]:
        """mse, in standardised units: on the training rows the mean of all of them has 1, less where values never vary,
        or many are the same and go by their rank.
        """
        return (metric_of_counts("mse", _squares, ratio_of, higher_is_better=False),)

    def prior(self, target: Float[Tensor, "N *S"]) -> Float[Tensor, "*S"]:
        """The mean."""
        return target.mean(dim=0)

    def trivial(self, prior: Float[Tensor, "*S"], target: Float[Tensor, "N *S"]) -> Float[Tensor, "N *S"]:
        """The mean, for every row."""
        return prior.expand_as(target)

    def certain(self, target: Float[Tensor, "N *S"]) -> Float[Tensor, "N *S"]:
        """The arrays themselves."""
        return target


def _squares(output: Tensor, target: Tensor) -> Float64[np.ndarray, "N 2"]:
    squares = ((output.detach().double() - target.double()) ** 2).reshape(len(target), -1).cpu().numpy()
    return np.stack([squares.sum(axis=1), np.full(len(squares), squares.shape[1])], axis=1)
