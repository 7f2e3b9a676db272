"""A text as one token: the sum of what is learned of its terms, each weighed by TF-IDF. N rows, K terms, D width."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal, Self

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from motet.core.component import ComponentSpec
from motet.core.flow import Tokens
from motet.inputs.base import Encoder, single_token
from motet.inputs.text.terms import TermPreparation, fitted
from motet.nn import Dropout

MOST_WORDS = 1 << 16
"""So many words of a text are read, unless `max_tokens` says otherwise."""
LONGEST_TERM = 8
DEVIATION = 0.1


class Tfidf(ComponentSpec):
    """One token of a whole text: TF-IDF of its words, word pairs or pieces of words, through a learned linear map.

    >>> spec = Tfidf(ngrams=(1, 1), most=3)
    >>> spec.fit(["a cat", "a dog", "a dog"], max_tokens=9, lowercase=True, stop_words=(), word_dropout=0.0).terms
    ('a', 'cat', 'dog')
    """

    kind: Literal["tfidf"] = "tfidf"
    paper: ClassVar[str] = "Salton & Buckley, Term-Weighting Approaches in Automatic Text Retrieval, IPM 1988"
    ngrams: tuple[int, int] = Field(
        default=(1, 2), description="Terms are runs of so many words, from the first to the second of these numbers."
    )
    most: int = Field(default=20_000, ge=1, description="Terms at most: those there most often in the training texts.")
    characters: bool = Field(
        default=False, description="Runs of characters within a word instead, a space at either end of it."
    )
    sublinear: bool = Field(default=False, description="A term that is there c times counts 1 + ln c, instead of c.")

    @model_validator(mode="after")
    def _shortest_first(self) -> Self:
        shortest, longest = self.ngrams
        if not 1 <= shortest <= longest <= LONGEST_TERM:
            raise ValueError(f"`ngrams` are the shortest and the longest, from 1 to {LONGEST_TERM}, such as [1, 2]")
        return self

    def fit(
        self, texts: Sequence[str], *, max_tokens: int, lowercase: bool, stop_words: Sequence[str], word_dropout: float
    ) -> TermPreparation:
        """The terms of these texts, and how rare each is."""
        empty = TermPreparation(
            terms=(),
            idf=(),
            ngrams=self.ngrams,
            characters=self.characters,
            sublinear=self.sublinear,
            lowercase=lowercase,
            max_tokens=max_tokens,
            word_dropout=word_dropout,
            stop_words=tuple(stop_words),
        )
        return fitted(empty, texts, most=self.most)


class TermEncoder(Encoder):
    """`x = sum_k w_k e_k`: w the weights of a text's terms, e learned vectors. A text without terms is the zero vector.

        w_k = tf_k idf_k / |tf idf|,  idf_k = ln((1 + n) / (1 + n_k)) + 1        n texts, n_k of which have the term

    Salton & Buckley, IPM 1988. Deviation, as scikit-learn's `TfidfVectorizer` has it: the idf is smoothed, as if one
    text more had every term, and 1 is added, so that terms of all texts still count. Deviation from scikit-learn: words
    of one letter count too, and marks do not cut words. The linear map has no bias.

    >>> import torch
    >>> encoder = TermEncoder(num_terms=5, width=8, dropout=0.0)
    >>> encoder({"terms": torch.tensor([[1, 4]]), "weights": torch.tensor([[0.6, 0.8]])}).values.shape
    torch.Size([1, 1, 8])
    """

    def __init__(self, *, num_terms: int, width: int, dropout: float) -> None:
        super().__init__()
        self.output_width = width
        self.embedding = nn.Embedding(num_terms, width)
        nn.init.normal_(self.embedding.weight, std=DEVIATION)
        self.dropout = Dropout(dropout)

    def felt(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Callable[[Tensor], Tokens]]:
        """`w_k e_k`, `[N, K, D]`, one for each term."""
        weighted = values["weights"][:, :, None] * self.embedding(values["terms"])
        return weighted, lambda x: single_token(self.dropout(x.sum(dim=1)))

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`terms [N, K]`, `weights [N, K]` -> `[N, 1, D]`."""
        table = self.embedding.weight
        weights = values["weights"].to(table.dtype)
        return single_token(
            self.dropout(F.embedding_bag(values["terms"], table, mode="sum", per_sample_weights=weights))
        )
