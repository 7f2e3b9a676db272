"""Categories: an embedding per value, one of them for the values never seen."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Int64
from pydantic import Field
from torch import Tensor, nn

from motet.core.flow import Tokens
from motet.core.numerals import category_of
from motet.inputs.base import Encoder, InputSpec, Preparation, readable, single_token
from motet.nn.dropout import IndexDropout

UNSEEN = 0


class CategoryPreparation(Preparation):
    """The values that have an embedding of their own, sorted; index 0 is for every other value."""

    categories: tuple[str, ...]

    @property
    def varies(self) -> bool:
        """Nothing does: the encoder replaces indices in training."""
        return False

    def read(self, cell: object) -> Int64[np.ndarray, ""]:
        """The index of the value, 0 for one that is not among the categories."""
        return np.array(self._index.get(category_of(cell), UNSEEN), dtype=np.int64)

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The item itself."""
        return item

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"index": [n]}`."""
        return {"index": torch.from_numpy(np.stack(items))}

    @cached_property
    def _index(self) -> dict[str, int]:
        return {category: index for index, category in enumerate(self.categories, start=1)}


class CategoryEncoder(Encoder):
    """One learned vector per category, and one for what was never seen.

    That one is trained by the rare values of the training rows, and by replacing the index of a training row at
    probability `unseen`.

    >>> CategoryEncoder(num_categories=3, width=8)({"index": torch.tensor([0, 3])}).values.shape
    torch.Size([2, 1, 8])
    """

    def __init__(self, *, num_categories: int, width: int, unseen: float = 0.0) -> None:
        super().__init__()
        self.output_width = width
        self.unseen = IndexDropout(unseen)
        self.embedding = nn.Embedding(1 + num_categories, width)

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`index [N]` -> one token per row."""
        return single_token(self.embedding(self.unseen(values["index"])))


class Category(InputSpec):
    """A category: one learned vector per value, one for values never seen."""

    kind: Literal["category"] = "category"
    several: ClassVar[bool] = False
    min_count: int = Field(
        default=2, ge=1, description="Values rarer than this in the training rows count as never seen."
    )
    unseen: float = Field(
        default=0.02,
        ge=0,
        lt=1,
        description="How often a training row's value is replaced by 'never seen', so that it is learned.",
    )
    width: int = Field(default=32, ge=1, description="Width of the token.")

    def fit(self, cells: Iterable[object]) -> CategoryPreparation:
        """The values that occur often enough; 5, 5.0 and "5" are one value.

        >>> Category(min_count=2).fit(["red", "blue", "red"]).categories
        ('red',)
        """
        counts = Counter(readable(cells, category_of))
        categories = sorted(value for value, count in counts.items() if count >= self.min_count)
        return CategoryPreparation(categories=tuple(categories))

    def restore(self, state: dict[str, Any]) -> CategoryPreparation:
        """The preparation a bundle holds."""
        return CategoryPreparation.model_validate(state)

    def resolved(self, preparation: Preparation) -> Self:
        """Nothing here is "auto"."""
        return self

    def build(self, preparation: Preparation) -> CategoryEncoder:
        """A fresh encoder for categories prepared so."""
        assert isinstance(preparation, CategoryPreparation)
        return CategoryEncoder(num_categories=len(preparation.categories), width=self.width, unseen=self.unseen)
