"""The words of a text in any script: runs of letters, digits and the marks on them; all else only separates words."""

import re
import unicodedata
from collections.abc import Sequence, Set
from functools import lru_cache

Span = tuple[int, int]


def runs(text: str) -> list[str]:
    """The words as they are written. A script without spaces has one word from sign to sign.

    >>> runs("L'été 2024, it's 5_000 हिन्दी!")
    ['L', 'été', '2024', 'it', 's', '5', '000', 'हिन्दी']
    """
    return _word().findall(text)


def without(text: str, words: Set[str]) -> str:
    """The text without these words, which are lower-case; signs stay, and so does the case of the rest.

    >>> without("The cat and THE dog.", {"the", "and"})
    ' cat   dog.'
    """
    return _word().sub(lambda found: "" if found[0].lower() in words else found[0], text)


def spans(text: str) -> list[Span]:
    """Where the words are, from the first character of each to behind its last.

    >>> spans("a cat!")
    [(0, 1), (2, 5)]
    """
    return [found.span() for found in _word().finditer(text)]


def left(text: str, words: Set[str]) -> list[int]:
    """The places of the characters that `without` leaves.

    >>> left("a cat", {"a"})
    [1, 2, 3, 4]
    """
    gone = {at for start, end in spans(text) if text[start:end].lower() in words for at in range(start, end)}
    return [at for at in range(len(text)) if at not in gone]


def spans_of_words(text: str, words: Sequence[str]) -> list[Span]:
    """Where these words are, which follow one another in the text.

    >>> spans_of_words("New  York", ["New", "York"])
    [(0, 3), (5, 9)]
    """
    found, end = [], 0
    for word in words:
        start = text.index(word, end)
        end = start + len(word)
        found.append((start, end))
    return found


@lru_cache(maxsize=1)
def _word() -> re.Pattern[str]:
    """Python's `\\w` has no combining marks, which cuts the words of Hindi, Thai or Arabic with vowels to pieces."""
    marks = "".join(chr(code) for code in range(0x20000) if unicodedata.category(chr(code)).startswith("M"))
    return re.compile(rf"[^\W_]+(?:[{marks}]+[^\W_]*)*")
