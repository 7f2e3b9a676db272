"""Sets of labels: tags, ingredients, diagnoses. N rows, M members of the largest set, D width."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Int64
from pydantic import Field
from torch import Tensor, nn

from motet.core.checks import text_of
from motet.core.flow import Tokens
from motet.core.labels import set_of
from motet.inputs.base import Encoder, InputSpec, Preparation, readable, single_token
from motet.inputs.vocabulary import Vocabulary
from motet.nn import MLP, hide, masked_mean
from motet.nn.dropout import IndexDropout


class SetPreparation(Preparation):
    """The labels that have a number of their own, and what divides them in a cell of text."""

    separator: str
    vocabulary: Vocabulary

    @property
    def varies(self) -> bool:
        """Nothing does: the encoder replaces numbers in training."""
        return False

    def read(self, cell: object) -> Int64[np.ndarray, "M"]:
        """The numbers of the members, sorted, each label once, 0 for each that is unknown; of the empty set none."""
        members = {text_of(label).strip(): label for label in set_of(cell, self.separator)}
        return np.array(sorted(self.vocabulary.numbers(list(members.values()))), dtype=np.int64)

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The item itself."""
        return item

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"index": [n, M], "mask": [n, M]}`, M at least 1."""
        sizes = np.array([len(item) for item in items])
        mask = np.arange(max(1, sizes.max())) < sizes[:, None]
        index = np.zeros(mask.shape, dtype=np.int64)
        index[mask] = np.concatenate(items)
        return {"index": torch.from_numpy(index), "mask": torch.from_numpy(mask)}

    def distorted(
        self, item: np.ndarray, level: float, generator: np.random.Generator, *, other: np.ndarray
    ) -> np.ndarray:
        """Without each member at probability `level`."""
        return item[generator.random(len(item)) >= level]


class SetEncoder(Encoder):
    """One token for a set (deep sets, Zaheer et al., NeurIPS 2017), or one for each of its members.

        token = rho(sum_m phi(m))        phi(m) = e_m

    The members are labels, and any function of a label is a table of vectors: phi is the embedding e. rho is a
    perceptron of one hidden layer. With `pool` "mean" the sum is divided by the number of members. The empty set has
    sum and mean 0.

    With `tokens` the tokens of a row are its e_m, and of the empty set one learned vector.

    In training the label of a member is replaced by "unknown" at probability `unseen`.

    >>> values = {"index": torch.tensor([[1, 3], [2, 0]]), "mask": torch.tensor([[True, True], [True, False]])}
    >>> SetEncoder(num_labels=3, width=8)(values).values.shape
    torch.Size([2, 1, 8])
    """

    def __init__(
        self,
        *,
        num_labels: int,
        width: int,
        pool: Literal["sum", "mean"] = "sum",
        tokens: bool = False,
        unseen: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.output_width = width
        self.pool = pool
        self.unseen = IndexDropout(unseen)
        self.embedding = nn.Embedding(1 + num_labels, width)
        self.empty = nn.Parameter(torch.randn(width)) if tokens else None
        self.rho = None if tokens else MLP(width, hidden=[width], output_width=width, dropout=dropout)

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`index [N, M]`, `mask [N, M]` -> one token per row, or M at most."""
        mask = values["mask"]
        members = self.embedding(self.unseen(values["index"] * mask))
        if self.empty is not None:
            return _one_each(members, mask, self.empty)
        assert self.rho is not None
        pooled = masked_mean(members, mask) if self.pool == "mean" else hide(members, mask).sum(dim=1)
        return single_token(self.rho(pooled))


class Set(InputSpec):
    """A set of labels, in no order: one token of the sum of its members' vectors, or one for each member."""

    kind: Literal["set"] = "set"
    several: ClassVar[bool] = False
    paper: ClassVar[str] = "Zaheer et al., Deep Sets, NeurIPS 2017"
    separator: str = Field(default="|", min_length=1, description="What divides the labels of one cell of text.")
    most: int = Field(
        default=1000,
        ge=1,
        description="So many labels have a vector of their own at most: those in most rows, and in two or more.",
    )
    tokens: bool = Field(default=False, description="One token for each member, in place of one for the whole set.")
    pool: Literal["sum", "mean"] = Field(
        default="sum", description="What one token is made of: the members' sum, which knows how many, or their mean."
    )
    unseen: float = Field(
        default=0.02,
        ge=0,
        lt=1,
        description="How often a member of a training row is replaced by 'unknown', so that it is learned.",
    )
    width: int = Field(default=32, ge=1, description="Width of the tokens, and of the hidden layer.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout after the hidden layer.")

    def fit(self, cells: Iterable[object]) -> SetPreparation:
        """The labels in most rows.

        >>> Set(most=1).fit(["red|round", "round", ["red", "round"], []]).vocabulary.labels
        ('round',)
        """
        sets = readable(cells, lambda cell: set_of(cell, self.separator))
        return SetPreparation(separator=self.separator, vocabulary=Vocabulary.fit(sets, most=self.most))

    def restore(self, state: dict[str, Any]) -> SetPreparation:
        """The preparation a bundle holds."""
        return SetPreparation.model_validate(state)

    def resolved(self, preparation: Preparation) -> Self:
        """Nothing here is "auto"."""
        return self

    def build(self, preparation: Preparation) -> SetEncoder:
        """A fresh encoder for sets prepared so."""
        assert isinstance(preparation, SetPreparation)
        return SetEncoder(
            num_labels=len(preparation.vocabulary.labels),
            width=self.width,
            pool=self.pool,
            tokens=self.tokens,
            unseen=self.unseen,
            dropout=self.dropout,
        )


def _one_each(members: Tensor, mask: Tensor, empty: Tensor) -> Tokens:
    """The members' vectors; in a row without any, `empty` in the first place."""
    first = torch.arange(mask.shape[1], device=mask.device) == 0
    alone = ~mask.any(dim=1, keepdim=True) & first
    values = torch.where(alone[:, :, None], empty, hide(members, mask))
    mask = mask | alone
    return Tokens(values, mask, mask[:, 0])
