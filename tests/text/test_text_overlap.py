"""chrF, BLEU and ROUGE-L against sacrebleu, torchmetrics, the papers' equations by hand, and as sums over rows."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF
from torchmetrics.functional.text.rouge import rouge_score

from motet.text import (
    bleu_counts,
    bleu_of,
    chrf_counts,
    chrf_of,
    lower_words,
    rouge_l_counts,
    rouge_l_of,
    words_13a,
)

PAIRS = [(chrf_counts, chrf_of), (bleu_counts, bleu_of), (rouge_l_counts, rouge_l_of)]
NAMES = ["chrF", "BLEU", "ROUGE-L"]
PIECES = ["the", "cat", "a", "b", "Ü", "日本", "😀", "e\u0301", "1", "23", "3.5", "1,000", "-", ".", ",", "?", "'", "_"]
PIECES += [" ", " ", " ", "  ", "\n", "-\n", "\t", "\u00a0", "\u3000", "\x1c", "<skipped>", "&quot;", "&amp;lt;", "&"]
written = st.lists(st.sampled_from(PIECES), max_size=20).map("".join)
texts = st.one_of(written, written, st.text(max_size=30))
ascii_texts = st.text("abAB1_'. ", max_size=20)
rows = st.lists(st.tuples(texts, texts), min_size=1, max_size=6)
Pairs = list[tuple[str, str]]

ENGLISH = [
    ("A dog runs over the green grass.", "A brown dog is running across the grass."),
    ("Two men, one in red, play guitar.", "Two men are playing the guitar; one wears red."),
    ("The price rose by 3.5% to $1,200.", "The price rose 3.5 % to $1,200 - its highest."),
    ("", "Nothing was said."),
    ("Hello", "hello"),
]


def total(pairs: Pairs, counts) -> np.ndarray:
    return np.sum([counts(*pair) for pair in pairs], axis=0)


def of_sacrebleu(metric, pairs: Pairs) -> float:
    answers, truths = zip(*pairs, strict=True)
    return metric.corpus_score(list(answers), [list(truths)]).score


@settings(max_examples=300)
@given(rows)
def test_chrf_of_a_corpus_is_that_of_sacrebleu(pairs: Pairs) -> None:
    assert chrf_of(total(pairs, chrf_counts)) == pytest.approx(of_sacrebleu(CHRF(), pairs), abs=1e-9)


@settings(max_examples=300)
@given(rows)
def test_bleu_of_a_corpus_is_that_of_sacrebleu(pairs: Pairs) -> None:
    assert bleu_of(total(pairs, bleu_counts)) == pytest.approx(of_sacrebleu(BLEU(), pairs), abs=1e-9)


@given(st.one_of(texts, st.text("ab1.,-'/ \n&;qut", max_size=30)))
def test_words_are_those_of_sacrebleu(text: str) -> None:
    assert words_13a(text) == BLEU().tokenizer(text.rstrip()).split()


@pytest.mark.parametrize(("counts", "score"), PAIRS[:2], ids=NAMES[:2])
def test_english_sentences_score_as_sacrebleu_says_in_any_company(counts, score) -> None:
    metric = CHRF() if counts is chrf_counts else BLEU()
    for chosen in ([0], [1], [2], [3], [4], [0, 0, 2], [0, 1, 2, 3, 4]):
        pairs = [ENGLISH[place] for place in chosen]
        assert score(total(pairs, counts)) == pytest.approx(of_sacrebleu(metric, pairs), abs=1e-9)
    assert score(total(ENGLISH, counts)) > 10


def test_every_resample_of_many_random_rows_is_scored_as_sacrebleu_scores_it() -> None:
    draw = np.random.default_rng(0)
    pairs = []
    for _ in range(200):
        truth = draw.choice(PIECES, size=draw.integers(0, 25)).tolist()
        answer = [piece for piece in truth if draw.random() < 0.8] + draw.choice(PIECES, draw.integers(0, 5)).tolist()
        pairs.append((" ".join(answer), " ".join(truth)))
    for counts, score, metric in ((chrf_counts, chrf_of, CHRF()), (bleu_counts, bleu_of, BLEU())):
        table = np.stack([counts(*pair) for pair in pairs])
        for _ in range(3):
            chosen = draw.integers(len(pairs), size=len(pairs))
            expected = of_sacrebleu(metric, [pairs[place] for place in chosen])
            assert 20 < expected < 95
            assert score(table[chosen].sum(axis=0)) == pytest.approx(expected, abs=1e-9)


def test_chrf_by_hand() -> None:
    """Of "abc" for "abd" 2 of 3 letters, 1 of 2 pairs, 0 of 1 triples; P = R = (2/3 + 1/2 + 0) / 3, so F = P."""
    assert chrf_of(chrf_counts("ab c", "abd")) == pytest.approx(100 * (2 / 3 + 1 / 2) / 3, abs=1e-12)


def test_chrf_weighs_recall_twice() -> None:
    """Half of the truth and nothing else: P = 1, R = (2/4 + 1/3) / 2 over n = 1, 2; F = 5 P R / (4 P + R)."""
    recall = (2 / 4 + 1 / 3) / 2
    assert chrf_of(chrf_counts("ab", "abcd")) == pytest.approx(100 * 5 * recall / (4 + recall), abs=1e-12)
    assert chrf_of(chrf_counts("ab", "abcd")) < chrf_of(chrf_counts("abcd", "ab"))


def test_bleu_by_hand() -> None:
    """5 of 6 words, 3 of 5 pairs, 2 of 4, 1 of 3; the answer is one word short of seven."""
    answer, truth = "the cat sat on a mat", "the cat sat on the mat today"
    expected = 100 * math.exp(1 - 7 / 6) * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    assert bleu_of(bleu_counts(answer, truth)) == pytest.approx(expected, abs=1e-12)


def test_bleu_halves_what_is_missing_once_more_for_each_length() -> None:
    """2 of 5 words, and no pair, triple or four: 1/2 of 4, 1/4 of 3, 1/8 of 2."""
    expected = 100 * (2 / 5 * 1 / 8 * 1 / 12 * 1 / 16) ** 0.25
    assert bleu_of(bleu_counts("a x b y z", "b q a r s")) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=200)
@given(st.lists(st.sampled_from("abcd"), max_size=9), st.lists(st.sampled_from("abcd"), max_size=9))
def test_rouge_l_is_the_equation_written_out(said: list[str], meant: list[str]) -> None:
    table = [[0] * (len(meant) + 1) for _ in range(len(said) + 1)]
    for i, mine in enumerate(said):
        for j, true in enumerate(meant):
            table[i + 1][j + 1] = table[i][j] + 1 if mine == true else max(table[i][j + 1], table[i + 1][j])
    common = table[-1][-1]
    expected = 0.0
    if common:
        precision, recall = common / len(said), common / len(meant)
        expected = 2 * precision * recall / (precision + recall)
    counts = rouge_l_counts(" ".join(said).upper(), ", ".join(meant))
    assert counts.tolist() == [pytest.approx(expected, abs=1e-12), 1]


@given(st.lists(st.tuples(ascii_texts, ascii_texts), min_size=1, max_size=5))
def test_rouge_l_of_ascii_text_is_that_of_torchmetrics(pairs: Pairs) -> None:
    answers, truths = zip(*pairs, strict=True)
    expected = rouge_score(list(answers), list(truths), rouge_keys="rougeL")["rougeL_fmeasure"]
    assert rouge_l_of(total(pairs, rouge_l_counts)) == pytest.approx(100 * float(expected), abs=1e-3)  # float32 there


def test_words_of_every_script_count() -> None:
    assert lower_words("Élan, नमस्ते — Привет!") == ["élan", "नमस्ते", "привет"]
    assert rouge_l_counts("ПРИВЕТ мир", "привет, мир!")[0] == 1


@pytest.mark.parametrize(("counts", "score"), PAIRS, ids=NAMES)
def test_no_rows_have_no_score_and_empty_ones_have_none_of_the_truth(counts, score) -> None:
    nothing = counts("", "a truth of several words")
    assert math.isnan(score(np.zeros_like(nothing)))
    for answer, truth in (("", ""), ("", "a truth of several words"), ("words without a truth", ""), (" \n", "\t")):
        assert score(counts(answer, truth)) == 0
    assert (counts("", "") == [0] * (len(nothing) - 1) + [1]).all()


@pytest.mark.parametrize(("counts", "score"), PAIRS, ids=NAMES)
def test_the_truth_itself_scores_100_and_another_text_less(counts, score) -> None:
    truth = "She sells sea shells by the sea shore"
    assert score(counts(truth, truth)) == pytest.approx(100)
    assert 0 < score(counts(truth.replace("shells", "snails"), truth)) < 100
    assert score(counts("qqq", truth)) == 0


@pytest.mark.parametrize(("counts", "score"), PAIRS, ids=NAMES)
@given(pairs=rows)
def test_scores_lie_between_0_and_100_and_no_order_of_rows_matters(counts, score, pairs: Pairs) -> None:
    value = score(total(pairs, counts))
    assert 0 <= value <= 100 + 1e-9
    assert score(total(pairs[::-1], counts)) == pytest.approx(value, abs=1e-12)
