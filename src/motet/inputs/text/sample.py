"""The texts that a tokenizer, or the length of texts, is fitted on."""

from collections.abc import Iterable, Sequence

import numpy as np

from motet.inputs.base import readable, spread
from motet.text import words_of, written

LONGEST = 256  # of an "auto" number of tokens
SHORTEST = 64  # room for texts longer than those trained on; batches are padded to their own longest
TEXTS_SAMPLED = 200_000  # more do not change the merges, but take minutes and memory


def sampled(cells: Iterable[object]) -> list[str | list[str]]:
    """Texts, or lists of words, of at most 200,000 of the cells, evenly spread; `DataError` where none can be read.

    >>> sampled(["a b", ["a", "b"]])
    ['a b', ['a', 'b']]
    """
    return spread(readable(cells, _text_or_words), TEXTS_SAMPLED)


def longest_of(lengths: Sequence[int]) -> int:
    """Where texts of these lengths are cut off: twice the 99th percentile, at least 64 and at most 256.

    >>> longest_of([3, 4]), longest_of([100]), longest_of([1000])
    (64, 200, 256)
    """
    return min(LONGEST, max(SHORTEST, 2 * int(np.ceil(np.quantile(lengths, 0.99)))))


def _text_or_words(cell: object) -> str | list[str]:
    return words_of(cell) if isinstance(cell, list) else written(cell)
