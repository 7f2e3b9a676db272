"""Categories: one index per value, one for the rest."""

import numpy as np
import pytest
import torch

from motet.core.errors import CellError
from motet.inputs import Category
from motet.inputs.category import CategoryEncoder
from motet.nn.keyed import row_keys


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
    encoder = CategoryEncoder(num_categories=1, width=4, unseen=0.25)
    index = torch.ones(2000, dtype=torch.int64)
    with row_keys(torch.arange(2000)):
        tokens = encoder({"index": index}).values[:, 0]
    with row_keys(torch.arange(500, 2000)):
        alone = encoder({"index": index[500:]}).values[:, 0]
    pretended = (tokens == encoder.embedding.weight[0]).all(dim=1)
    assert pretended.float().mean() == pytest.approx(0.25, abs=0.04)
    assert torch.equal(tokens[500:], alone), "what a row draws depends on its key alone"
    assert torch.equal(encoder.eval()({"index": index}).values[0, 0], encoder.embedding.weight[1])


@pytest.mark.parametrize("cell", [["a"], ("a",), {"a": 1}, b"a", np.array(["a", "b"])])
def test_several_values_are_no_category(cell: object) -> None:
    with pytest.raises(CellError, match="expected one category"):
        Category().fit(["a", "a"]).read(cell)
