"""What each row counts in the losses: read, checked, normalised."""

from typing import Any

import numpy as np
import pytest

from motet.core.errors import DataError
from motet.core.flow import Column
from motet.data import BadCells, Dataset, loss_weights, read_cells, read_table
from motet.tasks import Binary


def weighed(cells: list[Any], train: list[int] | None = None) -> list[float] | None:
    table = read_table([{"w": cell, "x": 1} for cell in cells])
    rows = np.arange(len(cells))
    found = loss_weights(table, "w", rows=rows, train=rows if train is None else np.array(train))
    return None if found is None else found.tolist()


def test_their_mean_over_the_training_rows_is_one() -> None:
    assert weighed(["3", "", "0", "0.5"]) == pytest.approx([3 / 1.125, 1 / 1.125, 0, 0.5 / 1.125])
    assert weighed([3, None, 8], [0, 1]) == pytest.approx([1.5, 0.5, 4])


def test_equal_weights_are_none() -> None:
    assert weighed([2, 2, 2]) is None
    assert weighed([2, 2, 7], [0, 1]) is None
    table = read_table([{"table": [{"x": 1}], "weight": 3}])
    assert loss_weights(table, None, rows=np.arange(1), train=np.arange(1)) is None


def test_the_weight_of_a_table_is_that_of_its_rows() -> None:
    table = read_table([{"table": [{"w": 1}, {"w": 2}], "weight": 3}, [{"x": 1}, {"x": 1}]])
    found = loss_weights(table, "w", rows=np.arange(4), train=np.arange(4))
    assert found is not None
    assert found.tolist() == pytest.approx([3 / 2.75, 6 / 2.75, 1 / 2.75, 1 / 2.75])
    assert found.dtype == np.float32


@pytest.mark.parametrize("cell", ["-1", "inf", "nan", "heavy", "1e999", [1.0]])
def test_what_is_no_weight_is_named_by_file_and_row(cell: Any) -> None:
    rows = [[1.0], cell] if isinstance(cell, list) else ["1", cell]
    with pytest.raises(BadCells, match=r"<table in memory>:2:w: expected a weight, a finite number from 0 on"):
        weighed(rows)


def test_every_bad_weight_is_listed_under_its_own_name(tmp_path: Any) -> None:
    (tmp_path / "a.csv").write_text("x,importance\n1,2\n1,-2\n1,?\n")
    table = read_table({"table": tmp_path / "a.csv", "rename": {"importance": "w"}})
    with pytest.raises(BadCells) as caught:
        loss_weights(table, "w", rows=np.arange(3), train=np.arange(3))
    assert [(one.row, one.column) for one in caught.value.problems] == [(3, "importance"), (4, "importance")]


def test_nothing_to_learn() -> None:
    with pytest.raises(DataError, match="every training row weighs 0"):
        weighed([0, 0, 5], [0, 1])


def test_a_row_of_weight_0_is_unlabelled_in_training_and_labelled_where_it_is_scored() -> None:
    table = read_table([{"y": "no"}, {"y": "yes"}, {"y": None}])
    store = read_cells(table, None, {"y": Column(("y",), Binary().fit(["no", "yes"]))})
    dataset = Dataset(store, inputs=(), targets=("y",), weights=np.array([0, 2, 1], dtype=np.float32))
    assert dataset.batch(np.arange(3), epoch=0).targets["y"].present.tolist() == [False, True, False]
    assert dataset.batch(np.arange(3), epoch=None).targets["y"].present.tolist() == [True, True, False]
