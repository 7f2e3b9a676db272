"""Texts as counts of terms, weighed by how rare each is. Shapes: n rows, K different terms of the longest text."""

import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float64, Int32
from torch import Tensor

from motet.core.errors import DataError
from motet.inputs.base import Preparation
from motet.inputs.text.runs import Span, runs, spans
from motet.text import written

TERM, COUNT = 0, 1
"""The rows of an item."""


class TermPreparation(Preparation):
    """The terms that are known, sorted, and the weight of each; what a term is, and how its counts are weighed.

    Terms are runs of `ngrams[0]` to `ngrams[1]` words, or with `characters` of characters within a word that has a
    space on either side. Of a text the first `max_tokens` words are read.
    """

    terms: tuple[str, ...]
    idf: tuple[float, ...]
    ngrams: tuple[int, int]
    characters: bool
    sublinear: bool
    lowercase: bool
    max_tokens: int
    word_dropout: float
    stop_words: tuple[str, ...] = ()
    words: bool = False
    spelling: bool = False

    @property
    def varies(self) -> bool:
        """Whether terms are hidden in training."""
        return self.word_dropout > 0

    def read(self, cell: object) -> Int32[np.ndarray, "2 K"]:
        """The numbers of the known terms of a text, ascending, and how often each is there; none in an empty text."""
        numbers = (self._number.get(term) for term in self.terms_of(written(cell)))
        found = Counter(number for number in numbers if number is not None)
        return np.array([[number, found[number]] for number in sorted(found)], dtype=np.int32).reshape(-1, 2).T

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Hide each different term at probability `word_dropout`."""
        varied = item.copy()
        varied[COUNT, generator.random(item.shape[1]) < self.word_dropout] = 0
        return varied

    def distorted(
        self, item: np.ndarray, level: float, generator: np.random.Generator, *, other: np.ndarray
    ) -> np.ndarray:
        """Without each different term at probability `level`."""
        return item[:, generator.random(item.shape[1]) >= level]

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"terms": [n, K], "weights": [n, K]}`, weights 0 behind the end of a text, K at least 1."""
        longest = max(1, *(item.shape[1] for item in items))
        terms, weights = np.zeros((len(items), longest), dtype=np.int64), np.zeros((len(items), longest), np.float32)
        for row, item in enumerate(items):
            terms[row, : item.shape[1]], weights[row, : item.shape[1]] = item[TERM], self.weights_of(item)
        return {"terms": torch.from_numpy(terms), "weights": torch.from_numpy(weights)}

    def blank(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """No term counts."""
        return {**values, "weights": torch.zeros_like(values["weights"])}

    def places(self, cell: object) -> list[list[Span]]:
        """Where in the text as it is written each term of `read` stands: the words of it, wherever it is there."""
        text = written(cell)
        words = [(self._clean(text[start:end]), (start, end)) for start, end in spans(text)][: self.max_tokens]
        kept = [(word, span) for word, span in words if word.lower() not in self._stopped]
        found: dict[str, list[Span]] = {}
        for term, at in self._terms_at([word for word, _ in kept]):
            found.setdefault(term, []).extend(kept[one][1] for one in at)
        return [found.get(self.terms[number], []) for number in self.read(cell)[TERM].tolist()]

    def weights_of(self, item: Int32[np.ndarray, "2 K"]) -> Float64[np.ndarray, "K"]:
        """`w / |w|`, with `w_k = tf_k idf_k`; zeros where no term is there."""
        counts = item[COUNT].astype(np.float64)
        if self.sublinear:
            counts = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0)
        weights = counts * self._idf[item[TERM]]
        return np.asarray(weights / max(float(np.linalg.norm(weights)), 1e-12))

    def terms_of(self, text: str) -> Iterator[str]:
        """Every term of a text, as often as it is there."""
        words = runs(self._clean(text))[: self.max_tokens]
        return (term for term, _ in self._terms_at([word for word in words if word.lower() not in self._stopped]))

    def _clean(self, text: str) -> str:
        text = unicodedata.normalize("NFKC", text)
        return text.lower() if self.lowercase else text

    def _terms_at(self, words: Sequence[str]) -> Iterator[tuple[str, Sequence[int]]]:
        """Every term of these words, and the numbers of the words it is of."""
        sizes = range(self.ngrams[0], self.ngrams[1] + 1)
        if not self.characters:
            runs_of = ((size, at) for size in sizes for at in range(len(words) - size + 1))
            return ((" ".join(words[at : at + size]), range(at, at + size)) for size, at in runs_of)
        padded = [(number, f" {word} ") for number, word in enumerate(words)]
        return (
            (word[at : at + size], (number,))
            for number, word in padded
            for size in sizes
            for at in range(len(word) - size + 1)
        )

    @cached_property
    def _stopped(self) -> frozenset[str]:
        return frozenset(self.stop_words)

    @cached_property
    def _number(self) -> dict[str, int]:
        return {term: number for number, term in enumerate(self.terms)}

    @cached_property
    def _idf(self) -> Float64[np.ndarray, "terms"]:
        return np.array(self.idf, dtype=np.float64)


def fitted(empty: TermPreparation, texts: Sequence[str], *, most: int) -> TermPreparation:
    """With the `most` terms that are there most often in all texts, ties in the order of the alphabet.

    `idf_t = ln((1 + n) / (1 + n_t)) + 1`, for n texts, n_t of which have the term.
    """
    counts, texts_with = Counter[str](), Counter[str]()
    for text in texts:
        found = Counter(empty.terms_of(text))
        counts.update(found)
        texts_with.update(found.keys())
    if not counts:
        raise DataError("no text of the training rows has a word to count; use another encoder, or fewer stop words")
    terms = sorted(sorted(counts, key=lambda term: (-counts[term], term))[:most])
    idf = (math.log((1 + len(texts)) / (1 + texts_with[term])) + 1 for term in terms)
    return empty.model_copy(update={"terms": tuple(terms), "idf": tuple(idf)})
