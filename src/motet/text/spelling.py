"""A word as it is spelt, in a fixed number of features: what tells of a word that is rare, or was never seen."""

import unicodedata
import zlib
from functools import lru_cache
from itertools import groupby

LONGEST_AFFIX = 4
NUM_FEATURES = 2 + 2 * LONGEST_AFFIX
NUM_BUCKETS = 1 << 14


@lru_cache(maxsize=1 << 16)
def spelling(word: str) -> tuple[int, ...]:
    """Numbers from 1 to `NUM_BUCKETS` for the whole word, its shape, its first and its last 1 to 4 letters; 0 for none.

    The features of Ratnaparkhi's tagger (EMNLP 1996), hashed (CRC-32) as Bojanowski et al. (TACL 2017) hash letters: no
    list of them is kept, and two of them may by chance have one number. A word has no affix as long as itself.

    >>> spelling("walked")[-1] == spelling("talked")[-1], spelling("walked")[0] == spelling("talked")[0]
    (True, False)
    """
    word = unicodedata.normalize("NFKC", word)
    affixes = [part for size in range(1, LONGEST_AFFIX + 1) for part in (f"{word[:size]}-", f"-{word[-size:]}")]
    kept = [affix if len(affix) <= len(word) else "" for affix in affixes]
    return tuple(_bucket(feature) for feature in (word, f"shape {shape_of(word)}", *kept))


def shape_of(word: str) -> str:
    """Capitals as X, other letters as x, digits as 9, signs as they are; runs of more than two count as two.

    >>> shape_of("Mid-2019's"), shape_of("USA"), shape_of("iPhone")
    ("Xxx-99'x", 'XX', 'xXxx')
    """
    return "".join(kind * min(2, len(list(run))) for kind, run in groupby(map(_kind, word)))


def _kind(character: str) -> str:
    if character.isalpha():
        return "X" if character.isupper() else "x"
    return "9" if character.isdecimal() else character


def _bucket(feature: str) -> int:
    return 1 + zlib.crc32(feature.encode("utf-8", "surrogatepass")) % NUM_BUCKETS if feature else 0
