"""The words of a text in any script: runs of letters, digits and the marks on them; all else only separates words."""

import re
import unicodedata
from collections.abc import Set
from functools import lru_cache


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


@lru_cache(maxsize=1)
def _word() -> re.Pattern[str]:
    """Python's `\\w` has no combining marks, which cuts the words of Hindi, Thai or Arabic with vowels to pieces."""
    marks = "".join(chr(code) for code in range(0x20000) if unicodedata.category(chr(code)).startswith("M"))
    return re.compile(rf"[^\W_]+(?:[{marks}]+[^\W_]*)*")
