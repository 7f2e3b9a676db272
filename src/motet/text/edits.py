"""What it takes to turn one sequence into another: edits, and the longest common subsequence, of any symbols.

A column of the dynamic program's table is held in one Python integer, a bit per symbol of one sequence, so that a step
along the other sequence is a dozen operations on integers, whatever the length.
"""

import math
from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float64


def levenshtein(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """The fewest insertions, deletions and substitutions of one symbol each (Levenshtein 1966).

    `d[i, j] = min(d[i-1, j] + 1, d[i, j-1] + 1, d[i-1, j-1] + (first[i] != second[j]))`, by the bit vectors of Myers
    (Journal of the ACM 1999) in the form of Hyyro (Nordic Journal of Computing 2003), in whole columns.

    >>> levenshtein("kitten", "sitting"), levenshtein("a new day".split(), "a day".split())
    (3, 1)
    """
    first, second = sorted((first, second), key=len, reverse=True)
    every, places = (1 << len(first)) - 1, _places(first)
    rises, falls = every, 0  # bit i: d[i+1, j] - d[i, j] is 1, or -1
    for symbol in second:
        same = places.get(symbol, 0)
        kept = ((((same & rises) + rises) ^ rises) | same | falls) & every  # d[i+1, j] == d[i, j-1]
        right_rises = (falls | (every & ~(kept | rises))) << 1 | 1  # d[i, j] - d[i, j-1] is 1; of row 0 it always is
        right_falls = (kept & rises) << 1
        rises = (right_falls | ~(kept | right_rises)) & every
        falls = right_rises & kept
    return len(second) + rises.bit_count() - falls.bit_count()


def longest_common(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """The length of the longest sequence that both have in this order, not necessarily in one piece.

    By the bit vectors of Hyyro (AWOCA 2004).

    >>> longest_common("abcde", "xaxcxe")
    3
    """
    first, second = sorted((first, second), key=len, reverse=True)
    every, places = (1 << len(first)) - 1, _places(first)
    level = every  # bit i is 0 where the length grows from first[:i] to first[:i+1]
    for symbol in second:
        same = level & places.get(symbol, 0)
        level = ((level + same) | (level - same)) & every
    return len(first) - level.bit_count()


def edit_counts(answer: Sequence[Hashable], truth: Sequence[Hashable]) -> Float64[np.ndarray, "2"]:
    """One row's edits and the length of its truth: of two texts in characters, of two lists of words in words.

    >>> edit_counts("sitting", "kitten").tolist()
    [3.0, 6.0]
    """
    return np.array([levenshtein(answer, truth), len(truth)], dtype=np.float64)


def edit_rate_of(counts: Float64[np.ndarray, "2"]) -> float:
    """Edits per symbol of the truth, from the sum of rows' counts: 0 is perfect, and it may be more than 1.

    In characters it is the character error rate (CER), in words the word error rate (WER). Long rows weigh more than
    short ones, as is usual: it is no mean over rows. NaN where no truth has a symbol.

    >>> edit_rate_of(edit_counts("sitting", "kitten") + edit_counts("on", "on"))
    0.375
    """
    return float(counts[0] / counts[1]) if counts[1] else math.nan


def _places(symbols: Sequence[Hashable]) -> dict[Hashable, int]:
    """For each symbol the bits of the places where it stands."""
    places: dict[Hashable, int] = {}
    for place, symbol in enumerate(symbols):
        places[symbol] = places.get(symbol, 0) | 1 << place
    return places
