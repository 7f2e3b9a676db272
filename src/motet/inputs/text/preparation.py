"""Texts as ids, word by word where tasks tag words.

Shapes: n rows, T tokens, F features of a word's spelling.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int32
from torch import Tensor

from motet.inputs.base import Preparation
from motet.inputs.text.runs import Span, left, spans_of_words, without
from motet.text import PADDING, Tokenizer, spelling, words_of, written
from motet.text.spelling import NUM_FEATURES

NO_WORD = -1
IDS, WORD, SPELLING = 0, 1, 2
"""The rows of an item whose words are told apart; spelling is from the third on."""


class TextPreparation(Preparation):
    """A tokenizer, where texts are cut off, and how often a token is hidden in training.

    A text is its tokens behind a start token, so that an empty one still is something. Ids: 0 padding, then the
    tokenizer's, then start, then hidden. With `words` each word is encoded by itself, and each token knows the number
    of its word, with `spelling` the features of that word too. `stop_words`, lower-case, are left out first.
    """

    tokenizer: Tokenizer
    max_tokens: int
    word_dropout: float
    words: bool = False
    spelling: bool = False
    stop_words: tuple[str, ...] = ()

    @property
    def num_ids(self) -> int:
        """How many ids there are."""
        return self.tokenizer.size + 2

    @property
    def varies(self) -> bool:
        """Whether tokens are hidden in training."""
        return self.word_dropout > 0

    def read(self, cell: object) -> Int32[np.ndarray, "*rest T"]:
        """Start, then the first `max_tokens` tokens of the text; numbers and truth values count as written.

        With `words` ids are the first row of the item and numbers of words, -1 for the start, the second. A word
        without any letter is a hidden token, and only words that lie behind the end have none.
        """
        if self.words:
            return self._read_words(words_of(cell))
        text = without(written(cell), self._stopped) if self.stop_words else written(cell)
        ids = self.tokenizer.encode(text)[: self.max_tokens]
        return np.concatenate([np.array([self._start], dtype=np.int32), ids])

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Hide each token but the start at probability `word_dropout`; with `words` each word, and how it is spelt."""
        if not self.words:
            hidden = generator.random(len(item)) < self.word_dropout
            hidden[0] = False
            return np.where(hidden, self._hidden, item)
        word = item[WORD]
        hidden = np.append(generator.random(int(word[-1]) + 1) < self.word_dropout, False)[word]
        varied = item.copy()
        varied[IDS, hidden] = self._hidden
        varied[SPELLING:, hidden] = 0
        return varied

    def distorted(
        self, item: np.ndarray, level: float, generator: np.random.Generator, *, other: np.ndarray
    ) -> np.ndarray:
        """Without each token but the start at probability `level`; with `words` each word is hidden instead, and stays
        a word.
        """
        if self.words:
            return self.model_copy(update={"word_dropout": level}).augment(item, generator)
        kept = generator.random(len(item)) >= level
        kept[0] = True
        return item[kept]

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"ids": [n, T], "mask": [n, T]}`, padded behind; with `words` also `"word": [n, T]`, -1 for none, and with
        `spelling` `"spelling": [n, T, F]`.
        """
        lengths = np.array([item.shape[-1] for item in items])
        mask = np.arange(lengths.max()) < lengths[:, None]
        if not self.words:
            return {"ids": _padded(np.concatenate(items), mask, PADDING), "mask": torch.from_numpy(mask)}
        whole = np.concatenate(items, axis=1)
        tensors = {"ids": _padded(whole[IDS], mask, PADDING), "mask": torch.from_numpy(mask)}
        tensors["word"] = _padded(whole[WORD], mask, NO_WORD)
        return tensors | ({"spelling": _padded(whole[SPELLING:].T, mask, PADDING)} if self.spelling else {})

    def blank(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every token but the start is hidden, as some are in training, and so is how words are spelt."""
        ids = values["ids"]
        hidden = torch.where(ids == self._start, ids, int(self._hidden))
        spelling = {"spelling": torch.zeros_like(values["spelling"])} if "spelling" in values else {}
        return {**values, "ids": torch.where(values["mask"], hidden, PADDING), **spelling}

    def places(self, cell: object) -> list[list[Span]]:
        """Where in the text as it is written each token of `read` stands: the start nowhere, a word's in the word."""
        text = written(cell)
        if self.words:
            own = spans_of_words(text, words_of(cell))
            return [[] if word == NO_WORD else [own[word]] for word in self.read(cell)[WORD].tolist()]
        kept = left(text, self._stopped)
        spans = self.tokenizer.spans("".join(text[at] for at in kept))[: self.max_tokens]
        return [[], *([(kept[start], kept[end - 1] + 1)] if end > start else [] for start, end in spans)]

    @cached_property
    def _stopped(self) -> frozenset[str]:
        return frozenset(self.stop_words)

    @property
    def _start(self) -> int:
        return self.tokenizer.size

    @property
    def _hidden(self) -> np.int32:
        return np.int32(self.tokenizer.size + 1)

    def _read_words(self, words: Sequence[str]) -> Int32[np.ndarray, "R T"]:
        ids, word = self.tokenizer.encode_words(words)
        blank = np.setdiff1d(np.arange(len(words), dtype=np.int32), word)
        place = np.searchsorted(word, blank)
        ids, word = np.insert(ids, place, self._hidden), np.insert(word, place, blank)
        ids, word = ids[: self.max_tokens], word[: self.max_tokens]
        rows = [np.insert(ids, 0, self._start)[None], np.insert(word, 0, NO_WORD)[None]]
        if self.spelling:
            seen = words[: int(word[-1]) + 1] if len(word) else ()
            of_words = np.array([spelling(one) for one in seen], dtype=np.int32).reshape(-1, NUM_FEATURES)
            rows.append(np.insert(of_words[word], 0, PADDING, axis=0).T)
        return np.concatenate(rows)


def _padded(values: np.ndarray, mask: np.ndarray, padding: int) -> Tensor:
    """Values of all tokens one after the other, `[sum of lengths, ...]` -> int64 `[n, T, ...]`."""
    whole = np.full((*mask.shape, *values.shape[1:]), padding, dtype=np.int64)
    whole[mask] = values
    return torch.from_numpy(whole)
