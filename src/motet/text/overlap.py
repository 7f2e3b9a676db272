"""How much of the true text a written answer has: chrF, BLEU and ROUGE-L, from counts that add up over rows.

Each score is a pair: `*_counts(answer, truth)` gives one row's sufficient statistics [S], whose last entry is 1, and
`*_of(counts)` the score of any set of rows, 0 to 100, from the sum of their counts: NaN for no rows at all. A text is
read once, and a bootstrap over rows only sums: `chrf_of(counts[rows].sum(axis=0))`.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from motet.text.edits import longest_common
from motet.text.words import lower_words, words_13a

CHARACTERS = 6  # chrF: the longest n-gram of characters
RECALL_WEIGHT = 2.0  # chrF: beta, how many times as much as precision recall counts
WORDS = 4  # BLEU: the longest n-gram of words


def chrf_counts(answer: str, truth: str) -> Float64[np.ndarray, "19"]:
    """For n = 1..6 the character n-grams of the answer, of the truth, and those in common; white space is left out.

    An n-gram that both have several times is common as often as in the one that has it less. Where the truth is too
    short for any n-gram, those of the answer are not counted.

    >>> chrf_counts("ab a", "abc")[:6].tolist()  # 3 letters of 3, 2 in common; then "ab", "ba" and "ab", "bc"
    [3.0, 3.0, 2.0, 2.0, 2.0, 1.0]
    """
    answer, truth = "".join(answer.split()), "".join(truth.split())
    counts: list[int] = []
    for length in range(1, CHARACTERS + 1):
        said, meant = _ngrams(answer, length), _ngrams(truth, length)
        counts += [said.total() if meant else 0, meant.total(), (said & meant).total()]
    return np.array([*counts, 1], dtype=np.float64)


def chrf_of(counts: Float64[np.ndarray, "19"]) -> float:
    """ChrF (Popovic, WMT 2015): `100 (1 + b^2) P R / (b^2 P + R)` with b = 2.

    P and R are the means over n of common / answer's n-grams and common / truth's, over all the rows together. As in
    sacrebleu, whose default this equals, only those n count of which both the answers and the truths have n-grams; the
    paper does not say what becomes of the others. It tries b = 1 and b = 3; b = 2 is from its sequel (WMT 2016).

    >>> chrf_of(chrf_counts("the cat", "the cat")), round(chrf_of(chrf_counts("a cat", "the cat")), 2)
    (100.0, 31.25)
    """
    if counts[-1] == 0:
        return math.nan
    answer, truth, common = counts[:-1].reshape(CHARACTERS, 3).T
    if not common.any():
        return 0.0
    both = answer > 0  # those of an answer are counted only where its truth has some
    precision, recall = (common[both] / answer[both]).mean(), (common[both] / truth[both]).mean()
    weight = RECALL_WEIGHT**2
    return float(100 * (1 + weight) * precision * recall / (weight * precision + recall))


def bleu_counts(answer: str, truth: str) -> Float64[np.ndarray, "11"]:
    """How many words answer and truth have; for n = 1..4 the n-grams in common; for n = 1..4 those of the answer.

    >>> bleu_counts("the cat", "the dog sat").tolist()
    [2.0, 3.0, 1.0, 0.0, 0.0, 0.0, 2.0, 1.0, 0.0, 0.0, 1.0]
    """
    said, meant = words_13a(answer), words_13a(truth)
    grams = [(_ngrams(said, length), _ngrams(meant, length)) for length in range(1, WORDS + 1)]
    common, total = [(mine & true).total() for mine, true in grams], [mine.total() for mine, _ in grams]
    return np.array([len(said), len(meant), *common, *total, 1], dtype=np.float64)


def bleu_of(counts: Float64[np.ndarray, "11"]) -> float:
    """Corpus BLEU (Papineni et al., ACL 2002): `100 min(1, exp(1 - r / c)) (p_1 p_2 p_3 p_4)^(1/4)`.

    c and r are how many words the answers and the truths have, p_n the share of the answers' n-grams that are common.
    As sacrebleu's default, which this equals: words as mteval-v13a cuts them, case kept, one truth per row; the k-th
    p_n without anything in common is `1 / (2^k n-grams of the answers)` instead of 0 (the exponential smoothing of
    that script); 0 if no word is common, or if no answer has four words. Of few or short rows it says little: chrF is
    the better choice there.

    >>> round(bleu_of(bleu_counts("the cat sat on a mat", "the cat sat on the mat")), 4)
    53.7285
    """
    if counts[-1] == 0:
        return math.nan
    said, meant = counts[0], counts[1]
    common, total = counts[2 : 2 + WORDS], counts[2 + WORDS : 2 + 2 * WORDS]
    if not common.any() or not total.all():
        return 0.0
    smoothed = np.where(common > 0, common, 0.5 ** np.cumsum(common == 0))
    brevity = min(0.0, 1 - meant / said)
    return float(100 * np.exp(brevity + np.log(smoothed / total).mean()))


def rouge_l_counts(answer: str, truth: str) -> Float64[np.ndarray, "2"]:
    """The row's own F and 1. `F = 2 P R / (P + R)`, P = l / |answer|, R = l / |truth|, all in words.

    l is the length of the longest common subsequence. Of an answer or a truth without words F is 0.

    >>> rouge_l_counts("police kill the gunman", "Police killed the gunman.").tolist()
    [0.75, 1.0]
    """
    said, meant = lower_words(answer), lower_words(truth)
    common = longest_common(said, meant)
    return np.array([2 * common / (len(said) + len(meant)) if common else 0.0, 1.0])


def rouge_l_of(counts: Float64[np.ndarray, "2"]) -> float:
    """ROUGE-L (Lin, Text Summarization Branches Out, 2004): 100 times the mean of F over rows.

    As the package rouge-score: precision and recall weigh the same (the paper leaves beta open, and DUC let recall
    decide), the whole text is one sequence (not the union over sentences), and words are not stemmed.

    >>> rouge_l_of(rouge_l_counts("a b", "a b") + rouge_l_counts("c", "d"))
    50.0
    """
    return float(100 * counts[0] / counts[1]) if counts[1] else math.nan


def _ngrams(symbols: Sequence[str], length: int) -> Counter[Sequence[str]]:
    """How often each run of `length` occurs: of the characters of a text, or of words."""
    if not isinstance(symbols, str):
        symbols = tuple(symbols)
    return Counter(symbols[place : place + length] for place in range(len(symbols) - length + 1))
