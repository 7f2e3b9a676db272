"""The text of a cell and its words."""

import numpy as np
import pytest

from motet.core.errors import CellError
from motet.text import words_of, written


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("to be", ["to", "be"]),
        (" to\t be\n", ["to", "be"]),
        ("", []),
        ([], []),
        (["to be", ""], ["to be", ""]),
        ([5.0, True, np.float64(0.5), np.str_("x")], ["5", "true", "0.5", "x"]),
        (7, ["7"]),
    ],
)
def test_words_by_hand(cell: object, words: list[str]) -> None:
    assert words_of(cell) == words


def test_a_list_is_its_words_with_a_space_between() -> None:
    assert written(["New York", 5.0]) == "New York 5"
    assert written("New  York") == "New  York"


@pytest.mark.parametrize("cell", [None, b"x", {"a": 1}, ("a", "b"), [None], [["a"]], ["a", b"x"]])
def test_other_things_are_no_text(cell: object) -> None:
    for read in (words_of, written):
        with pytest.raises(CellError, match="expected text, found a "):
            read(cell)
