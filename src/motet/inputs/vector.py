"""Ready-made vectors: embeddings, sensors, several columns of numbers at once."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Float32
from pydantic import Field
from torch import Tensor

from motet import media
from motet.core.errors import CellError
from motet.core.flow import Tokens
from motet.inputs.base import Encoder, InputSpec, Preparation, noisy, readable, single_token
from motet.nn import MLP


class VectorPreparation(Preparation):
    """The width of the vectors, and the mean and deviation of each place."""

    separator: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def varies(self) -> bool:
        """Nothing does."""
        return False

    def read(self, cell: object) -> Float32[np.ndarray, "W"]:
        """A vector from a list, an array, text with separators, or the `Path` of a `.npy` file (from Python only)."""
        vector = media.vector_of(cell, separator=self.separator)
        if len(vector) != len(self.mean):
            raise CellError(f"expected {len(self.mean)} numbers, found {len(vector)}")
        return vector

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The item itself."""
        return item

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"vector": [n, W]}`, standardised place by place."""
        scaled = (np.stack(items) - np.array(self.mean)) / np.array(self.deviation)
        return {"vector": torch.from_numpy(np.clip(scaled, -media.FARTHEST, media.FARTHEST).astype(np.float32))}

    def distorted(
        self, item: np.ndarray, level: float, generator: np.random.Generator, *, other: np.ndarray
    ) -> np.ndarray:
        """Plus normal noise of `level` times the deviation of each place over the training vectors."""
        return noisy(item, level * np.array(self.deviation), generator)


class VectorEncoder(Encoder):
    """A perceptron, or with no hidden layer a linear map: one token.

    >>> VectorEncoder(features=5, width=8, dropout=0.1)({"vector": torch.zeros(2, 5)}).values.shape
    torch.Size([2, 1, 8])
    """

    def __init__(self, *, features: int, width: int, layers: int = 1, dropout: float) -> None:
        super().__init__()
        self.output_width = width
        self.mlp = MLP(features, hidden=[width] * layers, output_width=width, dropout=dropout)

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`vector [N, W]` -> one token per row."""
        return single_token(self.mlp(values["vector"]))


class Vector(InputSpec):
    """A vector of fixed length: standardised, a small perceptron, one token."""

    kind: Literal["vector"] = "vector"
    separator: str = Field(
        default="|", min_length=1, description="What stands between the numbers where the cell is text."
    )
    width: int = Field(default=128, ge=1, description="Width of the token, and of the hidden layers.")
    layers: int = Field(default=1, ge=0, description="Hidden layers; 0: a linear map.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout after each hidden layer.")

    def fit(self, cells: Iterable[object]) -> VectorPreparation:
        """The most common length, and the mean and deviation of each place.

        >>> Vector().fit(["1|2", "3|2"]).mean
        (2.0, 2.0)
        """
        vectors = readable(cells, lambda cell: media.vector_of(cell, separator=self.separator))
        length = Counter(map(len, vectors)).most_common(1)[0][0]
        matrix = np.stack([vector for vector in vectors if len(vector) == length]).astype(np.float64)
        varies = matrix.max(axis=0) > matrix.min(axis=0)
        deviation = np.where(varies, matrix.std(axis=0), 1.0)
        return VectorPreparation(
            separator=self.separator, mean=tuple(matrix.mean(axis=0).tolist()), deviation=tuple(deviation.tolist())
        )

    def restore(self, state: dict[str, Any]) -> VectorPreparation:
        """The preparation a bundle holds."""
        return VectorPreparation.model_validate(state)

    def resolved(self, preparation: Preparation) -> Self:
        """Nothing here is "auto"."""
        return self

    def build(self, preparation: Preparation) -> VectorEncoder:
        """A fresh encoder for vectors prepared so."""
        assert isinstance(preparation, VectorPreparation)
        return VectorEncoder(features=len(preparation.mean), width=self.width, layers=self.layers, dropout=self.dropout)
