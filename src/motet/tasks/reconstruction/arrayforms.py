"""What of a number or a vector is to be said again, and what all forms that are arrays of one size have in common.

Shapes: n items, S the sizes of an array, W numbers of a vector.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from jaxtyping import Float, Float32, Float64

from motet import media
from motet.core.component import Frozen
from motet.core.errors import CellError
from motet.core.numerals import to_float


class ArrayForm(Frozen, ABC):
    """A cell as an array of one size, in its own units; `mean` and `deviation` are those of its last dimension."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of an array."""
        return (len(self.mean),)

    @property
    def varies(self) -> bool:
        """Whether what is asked for follows random variations of the input."""
        return False

    @abstractmethod
    def read(self, cell: object) -> np.ndarray:
        """One cell -> one item; raises `CellError` with the reason."""

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The item as the input shows it under the same generator."""
        return item

    def arrays(self, items: Sequence[np.ndarray]) -> Float[np.ndarray, "n *S"]:
        """The arrays of items, in their own units."""
        return np.stack(items)

    def fitted(self, items: Sequence[np.ndarray]) -> Self:
        """For these training items; itself where the input's preparation has said everything."""
        return self

    def scaled(self, arrays: Float[np.ndarray, "n *S"]) -> Float64[np.ndarray, "n *S"]:
        """`(x - mean) / deviation`."""
        return np.asarray((arrays - np.array(self.mean)) / np.array(self.deviation))

    def unscaled(self, arrays: Float[np.ndarray, "n *S"]) -> Float64[np.ndarray, "n *S"]:
        """Back in their own units."""
        return np.asarray(arrays * np.array(self.deviation) + np.array(self.mean))

    def answer(self, array: np.ndarray) -> Any:
        """An array as a person can use it."""
        return array.tolist()


class NumberForm(ArrayForm):
    """A number, no further out than `low` and `high`; with `quantiles` by its rank among them.

    >>> form = NumberForm(mean=(0.0,), deviation=(2.0,), low=-9.0, high=9.0)
    >>> form.scaled(form.arrays([form.read("2.5"), form.read(1e6)])).tolist()
    [[1.25], [4.5]]
    """

    kind: Literal["number"] = "number"
    low: float
    high: float
    quantiles: tuple[float, ...] = ()

    def read(self, cell: object) -> Float64[np.ndarray, "1"]:
        """The number, alone in its array."""
        return np.array([to_float(cell)])

    def scaled(self, arrays: Float64[np.ndarray, "n 1"]) -> Float64[np.ndarray, "n 1"]:
        """Clipped; then by mean and deviation, or by rank uniform from -sqrt(3) to sqrt(3)."""
        x = np.clip(arrays, self.low, self.high)
        return np.asarray(np.interp(x, *self._ranks)) if self.quantiles else super().scaled(x)

    def unscaled(self, arrays: Float[np.ndarray, "n 1"]) -> Float64[np.ndarray, "n 1"]:
        """The number of this rank, or this far from the mean."""
        if not self.quantiles:
            return super().unscaled(arrays)
        values, ranks = self._ranks
        return np.asarray(np.interp(arrays, ranks, values))

    def answer(self, array: np.ndarray) -> float:
        """The number."""
        return float(array[0])

    @property
    def _ranks(self) -> tuple[np.ndarray, np.ndarray]:
        """Values, and where each stands; one that fills several ranks has their mean."""
        values, place, count = np.unique(self.quantiles, return_inverse=True, return_counts=True)
        ranks = np.bincount(place, np.linspace(0, 1, len(self.quantiles))) / count
        return values, (2 * ranks - 1) * np.sqrt(3)


class VectorForm(ArrayForm):
    """A vector: a list, an array, text with separators, or the `Path` of a `.npy` file (from Python only).

    >>> VectorForm(mean=(0.0, 0.0), deviation=(1.0, 1.0), separator="|").read("1|2.5").tolist()
    [1.0, 2.5]
    """

    kind: Literal["vector"] = "vector"
    separator: str

    def read(self, cell: object) -> Float32[np.ndarray, "W"]:
        """As many numbers as there are means."""
        vector = media.vector_of(cell, separator=self.separator)
        if len(vector) != len(self.mean):
            raise CellError(f"expected {len(self.mean)} numbers, found {len(vector)}")
        return vector

    def scaled(self, arrays: Float32[np.ndarray, "n W"]) -> Float64[np.ndarray, "n W"]:
        """Standardised place by place, and clipped."""
        return np.asarray(np.clip(super().scaled(arrays), -media.FARTHEST, media.FARTHEST))
