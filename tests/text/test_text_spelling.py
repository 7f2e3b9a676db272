"""How a word is spelt: its features by hand, and what two words have in common."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.text import spelling
from motet.text.spelling import NUM_BUCKETS, NUM_FEATURES, shape_of


def bucket(feature: str) -> int:
    return 1 + zlib.crc32(feature.encode()) % NUM_BUCKETS


def test_features_by_hand() -> None:
    features = ["Cats", "shape Xxx", "C-", "-s", "Ca-", "-ts", "Cat-", "-ats"]
    assert list(spelling("Cats")) == [*map(bucket, features), 0, 0]
    assert list(spelling("a")) == [bucket("a"), bucket("shape x"), *[0] * 8]
    assert NUM_FEATURES == 10


@pytest.mark.parametrize(
    ("word", "shape"),
    [("walked", "xx"), ("USA", "XX"), ("U.S.", "X.X."), ("1995", "99"), ("3rd", "9xx"), ("--", "--"), ("Ünal", "Xxx")],
)
def test_shapes_by_hand(word: str, shape: str) -> None:
    assert shape_of(word) == shape


def test_words_share_what_they_have_in_common() -> None:
    walked, talked = spelling("walked"), spelling("talked")
    assert [one == other for one, other in zip(walked, talked, strict=True)] == [False, True, *[False, True] * 4]


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_any_word_has_as_many_features_and_none_leads_out_of_the_table(word: str) -> None:
    features = np.array(spelling(word))
    assert features.shape == (NUM_FEATURES,)
    assert ((features >= 0) & (features <= NUM_BUCKETS)).all()
    assert spelling(word) == spelling(word)


def test_words_are_spread_over_the_table() -> None:
    """As many words as there are places take at least as many of them as by chance, 1 - 1/e."""
    found = {spelling(f"word{number}")[0] for number in range(NUM_BUCKETS)}
    assert len(found) / NUM_BUCKETS > 1 - np.exp(-1)
