"""Vectors: from lists, arrays, text and files; standardised place by place."""

from pathlib import Path

import numpy as np
import pytest

from motet.core.errors import CellError
from motet.inputs import Vector

CELLS = [[0, 5, 1], [2, 5, 3], [4, 5, 8]]


def test_all_ways_of_writing_a_vector_agree(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1.5, 2, -3]))
    preparation = Vector(separator=";").fit(CELLS)
    for cell in ("1.5;2;-3", ["1.5", 2, -3], (1.5, 2, -3), np.array([1.5, 2, -3]), tmp_path / "a.npy"):
        assert preparation.read(cell).tolist() == [1.5, 2, -3]


def test_places_are_standardised_and_constant_ones_centred() -> None:
    preparation = Vector().fit(CELLS)
    vectors = preparation.batch([preparation.read(cell) for cell in CELLS])["vector"].numpy()
    expected = (np.array(CELLS) - np.mean(CELLS, axis=0)) / [np.std([0, 2, 4]), 1, np.std([1, 3, 8])]
    np.testing.assert_allclose(vectors, expected, rtol=1e-6)


def test_the_most_common_length_is_the_length() -> None:
    assert len(Vector().fit([[1], *CELLS, [1, 2]]).mean) == 3


def test_far_values_stay_finite() -> None:
    preparation = Vector().fit([[1.0], [1.0 + 1e-6]])
    assert preparation.batch([preparation.read([3e38])])["vector"].tolist() == [[1e4]]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("1|2", "expected 3 numbers, found 2"),
        ("1|2|x", "number 3: not a number"),
        ("1|2|", "number 3: not a number"),
        ("1|2,5|3", "number 2: not a number: it has a comma"),
        (np.array([1, np.nan, 2]), "number 2 is not finite"),
        ([1, 2, 1e39], "number 3 is not finite, or too large"),
        (np.ones((3, 1)), r"found the shape \[3, 1\]"),
        ([], r"found the shape \[0\]"),
        (5, "of type int"),
        (np.array(["a", "b", "c"]), "of type ndarray"),
    ],
)
def test_what_is_no_such_vector_is_refused_with_the_reason(cell: object, reason: str) -> None:
    with pytest.raises(CellError, match=reason):
        Vector().fit(CELLS).read(cell)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CellError):
        Vector().fit(CELLS).read(tmp_path / "none.npy")
