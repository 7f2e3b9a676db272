"""Entities in tags of the scheme BIO, against a reading of the rules word by word."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.tasks.tagging.entities import Bio, f1_of, in_scheme, is_bio

TAGS = ["B-place", "B-time", "I-place", "I-time", "I-lost", "O"]
BIO = Bio(TAGS)
ROWS = st.lists(st.integers(0, len(TAGS) - 1), min_size=1, max_size=12)


def by_hand(tags: list[str]) -> set[tuple[str, int, int]]:
    """Entities as conlleval reads them: one word after the other, with what is open so far."""
    found, opened = set(), None
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, kind = tag.partition("-")
        goes_on = prefix == "I" and opened is not None and opened[0] == kind
        if opened is not None and not goes_on:
            found.add((opened[0], opened[1], place))
            opened = None
        if prefix in ("B", "I") and not goes_on:
            opened = (kind, place)
    return found


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-place I-place O", [("place", 0, 2)]),
        ("B-place B-place", [("place", 0, 1), ("place", 1, 2)]),
        ("O I-time I-time", [("time", 1, 3)]),
        ("B-time I-place I-place", [("time", 0, 1), ("place", 1, 3)]),
        ("I-time O I-time", [("time", 0, 1), ("time", 2, 3)]),
        ("O O", []),
    ],
)
def test_entities_by_hand(tags: str, expected: list[tuple[str, int, int]]) -> None:
    numbers = [TAGS.index(tag) for tag in tags.split()]
    assert [(one["type"], one["start"], one["end"]) for one in BIO.entities(numbers)] == expected


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_entities_are_those_of_conlleval(row: list[int]) -> None:
    found = [(one["type"], one["start"], one["end"]) for one in BIO.entities(row)]
    assert len(found) == len(set(found))
    assert set(found) == by_hand([TAGS[tag] for tag in row])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(ROWS, ROWS), min_size=1, max_size=6))
def test_f1_is_that_of_sets_of_entities(pairs: list[tuple[list[int], list[int]]]) -> None:
    """Rows of unequal length are padded with -1, which is in no entity."""
    length = max(len(row) for pair in pairs for row in pair)
    pairs = [(one[: len(other)], other[: len(one)]) for one, other in pairs]
    padded = [np.array([row + [-1] * (length - len(row)) for row in rows]) for rows in zip(*pairs, strict=True)]
    sets = [[by_hand([TAGS[tag] for tag in row]) for row in rows] for rows in zip(*pairs, strict=True)]
    right = sum(len(said & true) for said, true in zip(*sets, strict=True))
    total = sum(len(found) for rows in sets for found in rows)
    counts = BIO.counts(*padded)
    assert counts.shape == (len(pairs), 3)
    value = f1_of(counts.sum(axis=0))
    assert value == pytest.approx(2 * right / total) if total else np.isnan(value)


def test_tags_without_a_type_are_of_one() -> None:
    assert Bio(["B", "I", "O"]).entities([0, 1, 2, 1]) == [
        {"type": "", "start": 0, "end": 2},
        {"type": "", "start": 3, "end": 4},
    ]


def test_a_tag_that_is_not_known_marks_an_entity_of_a_type_of_its_own() -> None:
    """B-new I-new against what can be answered: never right, and counted as one true entity."""
    answer, truth = np.array([[0, 2, 5]]), np.array([[-2, -3, 5]])
    assert BIO.counts(answer, truth).tolist() == [[0, 1, 1]]
    assert BIO.counts(truth, truth).tolist() == [[1, 1, 1]]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["O", "B-a", "I-a"], True),
        (["B", "I", "O"], True),
        (["O", "I-a"], False),
        (["O", "NOUN"], False),
        (["B-a", "S-a", "O"], False),
        (["ADJ", "INTJ"], False),
    ],
)
def test_which_tags_are_of_the_scheme(tags: list[str], expected: bool) -> None:
    assert is_bio(tags) == expected
    assert all(map(in_scheme, tags)) or not expected
