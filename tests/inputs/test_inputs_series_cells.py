"""Series as cells hold them: every way of writing one, what is missing, what is kept, and what is refused."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from motet.core.errors import CellError, DataError, SpecError
from motet.inputs import Series, SeriesPreparation

NAN = np.nan
MISSING = np.inf
"""In an item."""


def of(cells: list[Any], **fields: Any) -> SeriesPreparation:
    return Series.model_validate(fields).fit(cells)


def test_all_ways_of_writing_numbers_in_order_agree(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1.5, NAN, -3]))
    preparation = of([[1, 2, 3]], separator=";")
    ways: list[Any] = [
        "1.5;;-3", "1.5; nan ;-3", "[1.5, null, -3]", "[[1.5], [null], [-3]]", ["1.5", None, -3], (1.5, NAN, -3),
        np.array([1.5, NAN, -3]), np.array([[1.5], [NAN], [-3]]), tmp_path / "a.npy",
    ]  # fmt: skip
    for cell in ways:
        assert preparation.read(cell).tolist() == [[1.5], [MISSING], [-3]], cell
    assert preparation.read(7).tolist() == preparation.read("7").tolist() == [[7]]


def test_several_channels_are_lists_in_a_list(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[1, 2], [3, 4]], dtype=np.int16))
    preparation = of([[[1, 2], [3, 4]]])
    for cell in ([[1, 2], [3, 4]], "[[1, 2], [3, 4]]", np.array([[1, 2], [3, 4]]), tmp_path / "a.npy"):
        assert preparation.read(cell).tolist() == [[1, 2], [3, 4]]
    assert preparation.read([[1, None], [None, 4]]).tolist() == [[1, MISSING], [MISSING, 4]]


def test_columns_of_numbers_are_steps_and_columns_of_lists_are_channels() -> None:
    steps = of([[1, 2, None], ["3", 4, 5]], columns=("a", "b", "c"))
    assert steps.read(["7", None, 9]).tolist() == [[7], [MISSING], [9]]
    channels = of([["1|2", "3|4"], [[5], [6]]], columns=("a", "b"), max_steps=3)
    assert channels.read(["1|2|3", [4, None, 6]]).tolist() == [[1, 4], [2, MISSING], [3, 6]]
    assert channels.read([None, "4|5"]).tolist() == [[MISSING, 4], [MISSING, 5]]
    with pytest.raises(CellError, match="the columns have 2 and 3 steps"):
        channels.read(["1|2|3", "4|5"])


def test_times_stand_first_in_each_step_or_in_a_column() -> None:
    pairs = of([[[0, 5, 6], [2, 7, 8]]], times=True)
    assert pairs.read([[10, 1, 2], [13, None, 4]]).tolist() == [[0, 1, 2], [3, MISSING, 4]]
    assert pairs.read("[[10, 1, 2], [13, null, 4]]").tolist() == [[0, 1, 2], [3, MISSING, 4]]
    beside = of([["5|7", "0|2"]], columns=("level", "hour"), times="hour")
    assert beside.read([[1, None], [10, 13]]).tolist() == [[0, 1], [3, MISSING]]
    assert beside.read(["1|2", "10|13"]).tolist() == [[0, 1], [3, 2]]


def test_times_may_be_dates() -> None:
    preparation = of([[[datetime(2024, 3, 1), 5], [datetime(2024, 3, 2), 6]]], times=True)
    assert preparation.gap == 86400
    assert preparation.read([["2024-03-01 12:00", 1], ["2024-03-01T13:00", 2]]).tolist() == [[0, 1], [3600, 2]]


def test_steps_come_in_the_order_of_their_times() -> None:
    preparation = of([[[0, 5], [2, 7]]], times=True, max_steps=4)
    assert preparation.read([[9, 3], [4, 1], [9, 4], [5, 2]]).tolist() == [[0, 1], [1, 2], [5, 3], [5, 4]]


def test_large_times_lose_nothing_between_steps() -> None:
    preparation = of([[[0, 5], [2, 7]]], times=True)
    assert preparation.read([[1.7e9, 1], [1.7e9 + 0.25, 2]])[:, 0].tolist() == [0, 0.25]


def test_categories_have_numbers_of_their_own() -> None:
    preparation = of([["a", "b", "a"], "a|b", ["c"]], values="categories")
    assert preparation.read("b|c|a").tolist() == [[3], [0], [2]]
    assert preparation.read(["b", None, "a"]).tolist() == [[3], [0], [2]]
    assert preparation.read([]).tolist() == [[1]]
    timed = of([[["a", "b"], [0, 4]], ["a|b", "0|1"]], values="categories", columns=("page", "at"), times="at")
    assert timed.read([["b", "a"], ["5", "3"]]).tolist() == [[0, 2], [2, 3]]
    inside = of([[[0, "a"], [1, "b"]], '[[0, "a"], [3, "b"]]'], values="categories", times=True)
    assert inside.read([[2, "b"], [1, "a"]]).tolist() == [[0, 2], [1, 3]]
    columns = of([["a", "b"], ["b", "a"]], values="categories", columns=("first", "second"))
    assert columns.read(["b", "a"]).tolist() == [[3], [2]]


def test_an_empty_series_is_one_step_in_which_nothing_is_seen() -> None:
    assert of([[[1, 2]]]).read([]).tolist() == [[MISSING, MISSING]]
    assert of([[[1, 2]]], times=True).read([]).tolist() == [[0, MISSING]]
    assert of([[[1, 2]]]).read(np.zeros((0, 2))).tolist() == [[MISSING, MISSING]]


def test_the_last_steps_are_kept() -> None:
    assert of([[1, 2], [3]]).max_steps == 2
    assert of([list(range(3000))]).max_steps == 1024
    assert of([[1, 2]], max_steps=3).read([1, 2, 3, 4, 5]).tolist() == [[3], [4], [5]]
    assert of([[[0, 1]]], times=True, max_steps=1).read([[8, 7], [3, 6]]).tolist() == [[5, 7]]


def test_points_are_sorted_and_evenly_spread_ones_are_kept() -> None:
    preparation = of([[[1, 2], [3, 4]]], order=False, max_steps=3)
    points = [[5, 0], [1, 9], [3, 1], [2, 2], [1, 2]]
    assert preparation.read(points).tolist() == [[1, 2], [2, 2], [5, 0]]
    assert preparation.read(points[::-1]).tolist() == preparation.read(points).tolist()


def test_channels_are_standardised_over_the_steps_that_have_them() -> None:
    cells: list[Any] = [[[1, 5, 7], [None, 5, 9]], [[4, 5, 8]]]
    preparation = of(cells)
    steps = preparation.batch([preparation.read(cell) for cell in cells])["steps"].numpy()
    half = np.sqrt(2 / 3)  # the deviation of 7, 9, 8
    expected = [[[-1, 0, -1 / half, 1], [0, 0, 1 / half, 0]], [[1, 0, 0, 1], [0, 0, 0, 0]]]
    np.testing.assert_allclose(
        steps, expected, atol=1e-6
    )  # first channel: mean 2.5, deviation 1.5; then if it is there
    assert preparation.batch([preparation.read(cells[1])])["mask"].tolist() == [[True]]


def test_times_are_in_gaps_and_end_somewhere() -> None:
    preparation = of([[[0, 5], [2, 7], [4, 8], [14, 9]]], times=True)
    assert (preparation.gap, preparation.span) == (2, 7)
    item = preparation.read([[1, 0], [4, 0], [1e9, 0]])
    assert preparation.batch([item])["time"].tolist() == [[0, 1.5, 14]]


def test_noise_is_of_each_channels_size_and_leaves_times_alone() -> None:
    preparation = of([[[0, 10, 1], [1, 30, None]]], times=True, jitter=0.5, max_steps=1000)
    item = preparation.read([[0, 10, 1], [1, 30, None]] * 500)
    noise = preparation.augment(item, np.random.default_rng(0)) - np.where(np.isinf(item), 0, item)
    assert not noise[:, 0].any()
    assert noise[:, 1].std() == pytest.approx(5, rel=0.1)  # half of the deviation, 10
    assert np.isinf(noise[500:, 2]).all()


@pytest.mark.parametrize(
    ("fields", "cell", "reason"),
    [
        ({}, "1|two", "step 2: not a number"),
        ({}, [1, [2, 3]], "step 2 has 2 numbers, and step 1 has 1"),
        ({}, [[1, 2]], "expected 1 numbers in each step, found 2"),
        ({}, [1, float("inf")], "step 2 is not finite, or too large"),
        ({}, [1, 1e39], "step 2 is not finite, or too large"),
        ({}, np.zeros((2, 2, 2)), r"found float64 of the shape \[2, 2, 2\]"),
        ({}, np.zeros((2, 0)), r"found float64 of the shape \[2, 0\]"),
        ({}, np.zeros((1, 5000)), "5000 channels, of which a series has 4096 at most"),
        ({}, np.array([1 + 2j]), "found complex128"),
        ({}, "walks/7.npy", "say `files: true`"),
        ({}, {"steps": [1]}, "found a value of type dict"),
        ({}, Path("none.npy"), "the file can not be opened"),
        ({"times": True}, [[1, 2], [None, 3]], "step 2 has no time|the time of step 2"),
        ({"times": True}, [[1, 2], [NAN, 3]], "step 2 has no time"),
        ({"times": True}, [[1, 2], [3]], "step 2 has to be a list, its time first"),
        ({"times": True}, [1, 2], "step 1 has to be a list, its time first"),
        ({"times": True}, [["soon", 2]], "the time of step 1: not a number"),
        ({"times": "t", "columns": ("x", "t")}, ["1|2", None], "the column of the times is empty"),
        ({"times": "t", "columns": ("x", "t")}, ["1|2|3", "1|2"], "the columns have 2 and 3 steps"),
        ({"values": "categories"}, [["a"]], "a label is text"),
    ],
)
def test_what_is_no_such_series_is_refused_with_the_reason(fields: dict[str, Any], cell: object, reason: str) -> None:
    cells: list[Any] = (
        [["1|2", "0|1"]] if "columns" in fields else [[[0, 1], [1, 2]]] if fields.get("times") else [[1, 2]]
    )
    with pytest.raises(CellError, match=reason):
        of(cells, **fields).read(cell)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"order": False, "times": True}, "points in no order have no times"),
        ({"order": False, "values": "categories"}, "categories in no order are a set"),
        ({"order": False, "encoder": "cnn"}, "a cnn sees the order"),
        ({"values": "categories", "jitter": 0.1}, "for numbers, not for categories"),
        ({"files": True, "columns": ["a", "b"]}, "files are read from one `column`"),
        ({"times": "hour"}, r"such as columns: \[value, hour\]"),
        (
            {"values": "categories", "times": "t", "columns": ["a", "b", "t"]},
            "categories with the times of 't' have exactly one column of labels beside it, found 2: a, b; make",
        ),
        ({"values": "categories", "times": "t", "columns": ["t"]}, "one column of labels beside it, found 0; make"),
        ({"encoder": "transformer", "width": 6}, "the 4 heads of the transformer must divide the width 6"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Series.model_validate(fields)


def test_columns_without_that_of_the_times_are_refused() -> None:
    with pytest.raises(SpecError, match="'hour' has to be one of several columns, found a, b"):
        of([["1|2", "3|4"]], columns=("a", "b"), times="hour")


def test_several_columns_of_labels_that_a_glob_finds_are_refused() -> None:
    spec = Series(values="categories", times="c_t", columns="c_*")
    names = spec.model_copy(update={"columns": ("c_a", "c_b", "c_t")})  # as the glob is resolved, beside the table
    with pytest.raises(SpecError, match="found 2: c_a, c_b; make an input of each"):
        names.fit([["x|y", "x|z", "0|1"]])
    assert spec.model_copy(update={"columns": ("c_a", "c_t")}).fit([["x|y", "0|1"], ["x", "0"]]).timed


def test_brackets_without_end_are_no_list() -> None:
    cell = "[" * 100_000
    preparation = of([cell, "1|2"])
    assert preparation.max_steps == 2
    with pytest.raises(CellError, match="step 1: not a number") as error:
        preparation.read(cell)
    assert len(str(error.value)) < 300
    columns = of([[cell, "1|2"], ["3|4", "1|2"]], columns=("a", "b"))  # where it is asked what columns hold
    assert columns.read(["5", "6"]).tolist() == [[5, 6]]
    assert of([cell, "a|b", "a|b"], values="categories").read("b").tolist() == [[3]]


def test_training_rows_without_a_step_are_refused() -> None:
    with pytest.raises(DataError, match="no series of the training rows has a step"):
        of([[], []])
