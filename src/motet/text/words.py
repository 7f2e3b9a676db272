"""Texts cut into words, as the scores of written answers count them."""

import re
import string
import unicodedata
from functools import lru_cache

_ENTITIES = {"&quot;": '"', "&amp;": "&", "&lt;": "<", "&gt;": ">"}
_SYMBOL = re.compile("([" + re.escape("".join(set(string.punctuation) - set("',-."))) + "])")
_POINT_AFTER_NO_DIGIT = re.compile(r"([^0-9])([.,])")
_POINT_BEFORE_NO_DIGIT = re.compile(r"([.,])([^0-9])")
_DASH_AFTER_DIGIT = re.compile(r"([0-9])(-)")


def words_13a(text: str) -> list[str]:
    """The words and signs of the script mteval-v13a, by which WMT counts BLEU. Case is kept.

    Every ASCII sign is a word of its own; but a point or a comma between two digits, a dash that follows no digit, and
    an apostrophe stay in their word. What is not ASCII is never cut: "vois-tu ?" has two words, "vois-tu。" has one.

    >>> words_13a("It's 1,000.5 km-long, isn't it?")
    ["It's", '1,000.5', 'km-long', ',', "isn't", 'it', '?']
    """
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in _ENTITIES.items():
        text = text.replace(entity, character)
    text = _SYMBOL.sub(r" \1 ", f" {text} ")
    text = _POINT_AFTER_NO_DIGIT.sub(r"\1 \2 ", text)
    text = _POINT_BEFORE_NO_DIGIT.sub(r" \1 \2", text)
    return _DASH_AFTER_DIGIT.sub(r"\1 \2 ", text).split()


def lower_words(text: str) -> list[str]:
    """The runs of letters, digits and combining marks, lower-cased; everything else only separates them.

    In English these are the words of the package rouge-score. Deviation: that package drops every letter that is not
    ASCII; here words of any script count. A script without spaces has one word from sign to sign.

    >>> lower_words("Ça va, it's 5_000!")
    ['ça', 'va', 'it', 's', '5', '000']
    """
    return "".join(map(_kept, text.lower())).split()


@lru_cache(maxsize=1 << 16)
def _kept(character: str) -> str:
    in_word = character.isalnum() or unicodedata.category(character).startswith("M")
    return character if in_word else " "
