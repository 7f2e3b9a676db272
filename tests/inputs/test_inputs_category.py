"""Categories: one index per value, one for the rest."""

import numpy as np
import pytest

from motet.core.errors import CellError
from motet.core.seed import generator
from motet.inputs import Category


def test_one_value_has_one_index_however_it_is_typed() -> None:
    preparation = Category().fit([5, "5", "b", "b", True, "true"])
    assert preparation.categories == ("5", "b", "true")
    cells = [5, 5.0, "5", " 5 ", np.int64(5), True, np.bool_(True)]
    assert [int(preparation.read(cell)) for cell in cells] == [1, 1, 1, 1, 1, 3, 3]


def test_rare_and_new_values_share_index_zero() -> None:
    preparation = Category(min_count=3).fit(["a"] * 3 + ["b"] * 2)
    assert [int(preparation.read(cell)) for cell in ("a", "b", "new", "")] == [1, 0, 0, 0]


def test_order_of_the_rows_does_not_matter() -> None:
    assert Category().fit(["b", "a", "a", "b"]) == Category().fit(["a", "a", "b", "b"])


def test_training_rows_pretend_at_the_asked_rate() -> None:
    preparation = Category(unseen=0.25).fit(["a", "a"])
    item = preparation.read("a")
    pretended = [int(preparation.augment(item, generator(draw))) == 0 for draw in range(2000)]
    assert np.mean(pretended) == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize("cell", [["a"], ("a",), {"a": 1}, b"a", np.array(["a", "b"])])
def test_several_values_are_no_category(cell: object) -> None:
    with pytest.raises(CellError, match="expected one category"):
        Category().fit(["a", "a"]).read(cell)
