"""What of a category or a text is to be said again: ids in their places. L places, T tokens."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Int32, Int64
from pydantic import Field

from motet.core.component import Frozen
from motet.core.numerals import category_of
from motet.text import Tokenizer, words_of, written

EDGE = 0
"""The id a text ends with: that of the tokenizer's padding, which is in no text."""
HIDDEN = -1
"""What is not asked for: behind the end, and in the place of a word without any letter where words are told apart."""
UNSEEN = 0
"""The id of every category that has no number of its own."""


class IdsForm(Frozen, ABC):
    """A cell as ids below `num_ids`, at most `longest` of them; `ends` says whether their number varies."""

    ends: ClassVar[bool]

    @property
    @abstractmethod
    def num_ids(self) -> int:
        """How many different ids there are."""

    @property
    @abstractmethod
    def longest(self) -> int:
        """How many ids a cell has at most."""

    @abstractmethod
    def read(self, cell: object) -> Int64[np.ndarray, "L"]:
        """One cell -> its ids; raises `CellError` with the reason."""

    def knows(self, cell: object) -> bool:
        """Whether it can be said."""
        return True

    @abstractmethod
    def answer(self, ids: list[int]) -> Any:
        """What these ids stand for."""


class CategoryForm(IdsForm):
    """A category: its number from 1, 0 for one that has none, too rare in training or not there; that is never right.

    >>> form = CategoryForm(categories=("blue", "red"))
    >>> form.read("red").tolist(), form.answer([1]), form.answer([0])
    ([2], 'blue', None)
    """

    ends: ClassVar[bool] = False
    kind: Literal["category"] = "category"
    categories: tuple[str, ...]

    @property
    def num_ids(self) -> int:
        """The categories, and what is none of them."""
        return 1 + len(self.categories)

    @property
    def longest(self) -> int:
        """One."""
        return 1

    def read(self, cell: object) -> Int64[np.ndarray, "1"]:
        """The number, alone in its array."""
        return np.array([self._number.get(category_of(cell), UNSEEN)], dtype=np.int64)

    def knows(self, cell: object) -> bool:
        """Whether it has a number."""
        return category_of(cell) in self._number

    def answer(self, ids: list[int]) -> str | None:
        """The category; None for one that is none of them."""
        return self.categories[ids[0] - 1] if ids and ids[0] else None

    @cached_property
    def _number(self) -> dict[str, int]:
        return {category: number for number, category in enumerate(self.categories, start=1)}


class TextForm(IdsForm):
    """A text: the first `max_tokens` of its tokens, then the end; with `words` each word is encoded by itself.

    >>> form = TextForm(tokenizer=Tokenizer.train(["a b"], vocabulary=300, lowercase=True), max_tokens=9)
    >>> form.answer(form.read("A  b").tolist())
    'a b'
    """

    ends: ClassVar[bool] = True
    kind: Literal["text"] = "text"
    tokenizer: Tokenizer
    max_tokens: int
    words: bool = False

    @property
    def num_ids(self) -> int:
        """Those of the tokenizer; its padding is the end."""
        return self.tokenizer.size

    @property
    def longest(self) -> int:
        """All tokens and the end."""
        return self.max_tokens + 1

    def read(self, cell: object) -> Int64[np.ndarray, "L"]:
        """The ids and the end."""
        ids = self._of_words(words_of(cell)) if self.words else self.tokenizer.encode(written(cell))
        return np.append(ids[: self.max_tokens].astype(np.int64), EDGE)

    def answer(self, ids: list[int]) -> str:
        """The text before the end."""
        return self.tokenizer.decode(id for id in ids if id > EDGE)

    def _of_words(self, words: list[str]) -> Int32[np.ndarray, "T"]:
        ids, word = self.tokenizer.encode_words(words)
        blank = np.setdiff1d(np.arange(len(words)), word)
        return np.insert(ids, np.searchsorted(word, blank), np.int32(HIDDEN))


AnyIdsForm = Annotated[CategoryForm | TextForm, Field(discriminator="kind")]
