"""Edits and common subsequences: by hand, against the recursion they are defined by, and as a metric."""

import math
from collections.abc import Hashable, Sequence
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.text import char_error_rate, word_error_rate

from motet.text import edit_counts, edit_rate_of, levenshtein, longest_common

sequences = st.one_of(st.text("abc", max_size=9), st.lists(st.sampled_from(["to", "be", 3, None]), max_size=9))
written = st.text("ab \né", max_size=12)


def by_definition(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    @cache
    def fewest(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        changed = fewest(i - 1, j - 1) + (first[i - 1] != second[j - 1])
        return min(fewest(i - 1, j) + 1, fewest(i, j - 1) + 1, changed)

    return fewest(len(first), len(second))


@pytest.mark.parametrize(
    ("first", "second", "edits"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("kitten", "sitting", 3),
        ("intention", "execution", 5),
        ("abcdef", "bcdefa", 2),
        ("ab", "ba", 2),  # a swap is two edits
        ("naïve", "naive", 1),
        ("😀a", "a", 1),
        (["the", "cat"], ["a", "cat", "sat"], 2),
        ([1, (2, 3), None], [1, None], 1),
    ],
)
def test_edits_counted_by_hand(first: Sequence[Hashable], second: Sequence[Hashable], edits: int) -> None:
    assert levenshtein(first, second) == edits == by_definition(first, second)


@settings(max_examples=500)
@given(sequences, sequences)
def test_the_recursion_is_met(first: Sequence[Hashable], second: Sequence[Hashable]) -> None:
    assert levenshtein(first, second) == by_definition(first, second)


@pytest.mark.parametrize("length", [31, 32, 33, 63, 64, 65, 130])
def test_the_recursion_is_met_where_machine_words_end(length: int) -> None:
    draw = np.random.default_rng(length)
    for size in (length - 2, length, length + 1):
        first, second = draw.integers(4, size=length).tolist(), draw.integers(4, size=size).tolist()
        assert levenshtein(first, second) == by_definition(first, second)


@given(sequences, sequences, sequences)
def test_edits_are_a_metric(a: Sequence[Hashable], b: Sequence[Hashable], c: Sequence[Hashable]) -> None:
    assert levenshtein(a, b) == levenshtein(b, a)
    assert (levenshtein(a, b) == 0) == (list(a) == list(b))
    assert levenshtein(a, c) <= levenshtein(a, b) + levenshtein(b, c)
    assert abs(len(a) - len(b)) <= levenshtein(a, b) <= max(len(a), len(b))


@settings(max_examples=200)
@given(st.text("abc", max_size=7), st.text("abc", max_size=9))
def test_the_longest_common_subsequence_is_the_longest_of_all(first: str, second: str) -> None:
    def occurs(symbols: Sequence[str]) -> bool:
        left = iter(second)
        return all(symbol in left for symbol in symbols)

    lengths = range(len(first), -1, -1)
    longest = next(length for length in lengths if any(occurs(some) for some in combinations(first, length)))
    assert longest_common(first, second) == longest == longest_common(second, first)


@given(sequences, sequences)
def test_without_substitutions_edits_are_what_is_not_common(a: Sequence[Hashable], b: Sequence[Hashable]) -> None:
    apart = len(a) + len(b) - 2 * longest_common(a, b)
    assert levenshtein(a, b) <= apart <= 2 * levenshtein(a, b)


@given(st.lists(st.tuples(written, written.filter(str.strip)), min_size=1, max_size=5))
def test_error_rates_are_those_of_torchmetrics(pairs: list[tuple[str, str]]) -> None:
    answers, truths = (list(side) for side in zip(*pairs, strict=True))
    characters = sum(edit_counts(*pair) for pair in pairs)
    words = sum(edit_counts(answer.split(), truth.split()) for answer, truth in pairs)
    assert edit_rate_of(characters) == pytest.approx(float(char_error_rate(answers, truths)), rel=1e-6)
    assert edit_rate_of(words) == pytest.approx(float(word_error_rate(answers, truths)), rel=1e-6)


def test_a_rate_is_of_all_symbols_and_not_a_mean_over_rows() -> None:
    rows = [edit_counts("", "ab"), edit_counts("abcdefgh", "abcdefgh")]
    assert edit_rate_of(np.sum(rows, axis=0)) == 2 / 10
    assert edit_rate_of(edit_counts("aaaa", "b")) == 4


def test_without_a_truth_there_is_no_rate() -> None:
    assert math.isnan(edit_rate_of(np.zeros(2)))
    assert math.isnan(edit_rate_of(edit_counts("ab", "")))
