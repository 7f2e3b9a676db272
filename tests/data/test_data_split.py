import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.core.errors import DataError, SpecError
from motet.data.leakage import groups_apart, leakage
from motet.data.load import load_data
from motet.data.read import read_table
from motet.data.spec import DataSpec
from motet.data.split import Splits, split_rows


def _table(num_rows=20, **columns):
    return read_table([{"x": row, **{name: cells[row] for name, cells in columns.items()}} for row in range(num_rows)])


def _lists(splits):
    return splits.train.tolist(), splits.valid.tolist(), splits.test.tolist()


def test_spec_written_and_read():
    assert DataSpec(train="a.csv", test="b.csv").model_dump(mode="json")["test"] == "b.csv"
    assert DataSpec(train=[{"a": 1}]).model_dump(mode="json")["train"] == "<table in memory>"
    assert DataSpec(train="a.csv", valid=None).valid is None
    for wrong in (0, 1, 1.5, -0.1, True):
        with pytest.raises(ValueError, match="fraction"):
            DataSpec(train="a.csv", valid=wrong)


@settings(deadline=None)
@given(st.integers(5, 60), st.floats(0.05, 0.4), st.floats(0.05, 0.4), st.integers(0, 5))
def test_fractions_are_a_partition_that_only_seed_and_size_decide(num_rows, valid, test, seed):
    spec = DataSpec(train="t", valid=valid, test=test)
    found = split_rows(spec, _table(num_rows), seed=seed)
    again = split_rows(spec, _table(num_rows, other=["z"] * num_rows), seed=seed)
    assert _lists(found) == _lists(again)
    assert sorted(row for part in _lists(found) for row in part) == list(range(num_rows))
    assert all(part == sorted(part) and part for part in _lists(found))
    assert (len(found.test), len(found.valid)) == (max(1, round(test * num_rows)), max(1, round(valid * num_rows)))


def test_seeds_differ():
    spec = DataSpec(train="t", valid=0.5)
    assert _lists(split_rows(spec, _table(), seed=0)) != _lists(split_rows(spec, _table(), seed=1))


def test_split_column():
    words = ["train", "Val", "test ", "validation", "dev", "training"]
    found = split_rows(DataSpec(train="t", split="part"), _table(6, part=words), seed=0)
    assert _lists(found) == ([0, 5], [1, 3, 4], [2])


def test_split_column_without_valid_takes_the_fraction_from_train():
    words = ["train"] * 10 + ["test"] * 10
    found = split_rows(DataSpec(train="t", split="part", valid=0.2), _table(20, part=words), seed=0)
    assert len(found.valid) == 2
    assert set(found.valid) < set(range(10))
    assert found.test.tolist() == list(range(10, 20))


def test_split_column_faults():
    spec = DataSpec(train="t", split="part")
    with pytest.raises(DataError, match=r":2:part: the split is 'trian'; expected one of train"):
        split_rows(spec, _table(2, part=["train", "trian"]), seed=0)
    with pytest.raises(DataError, match=r":1:part: the split is empty"):
        split_rows(spec, _table(2, part=[None, "train"]), seed=0)
    with pytest.raises(DataError, match="no rows are left for training"):
        split_rows(spec, _table(2, part=["test", "valid"]), seed=0)
    with pytest.raises(SpecError, match=r"no column 'parts'; did you mean 'part'\?"):
        split_rows(DataSpec(train="t", split="parts"), _table(2, part=["train", "test"]), seed=0)


def test_groups_stay_together():
    groups = [row // 4 for row in range(40)]
    found = split_rows(DataSpec(train="t", valid=0.2, test=0.3, group="g"), _table(40, g=groups), seed=3)
    sides = [{groups[row] for row in part} for part in _lists(found)]
    assert [len(side) for side in sides] == [5, 2, 3]
    assert len(set.union(*sides)) == 10


def test_rows_without_a_group_are_alone_and_one_group_is_refused():
    found = split_rows(DataSpec(train="t", valid=0.5, group="g"), _table(4, g=[None] * 4), seed=0)
    assert len(found.valid) == 2
    with pytest.raises(DataError, match="1 groups in column 'g', 1 of them held out: no rows are left for training"):
        split_rows(DataSpec(train="t", valid=0.5, group="g"), _table(4, g=["a"] * 4), seed=0)


def test_load_from_several_files(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,4\n5,6\n")
    (tmp_path / "b.csv").write_text("x\n7\n")
    spec = DataSpec(train="a.csv", valid=0.34, test="b.csv")
    table, splits = load_data(spec, base=tmp_path, seed=0)
    assert splits.test.tolist() == [3]
    assert (len(splits.train), len(splits.valid)) == (2, 1)
    assert table.locate(3) == ("b.csv", 2)
    assert table.cells(("y",))[3] is None
    with pytest.raises(DataError, match=r"^c.csv: no such file; did you mean '[ab].csv'\?"):
        load_data(DataSpec(train="c.csv"), base=tmp_path, seed=0)
    with pytest.raises(SpecError, match=r"data.id: a.csv has no column 'z'"):
        load_data(DataSpec(train="a.csv", id="z"), base=tmp_path, seed=0)


def test_load_from_memory(tmp_path):
    table, splits = load_data(DataSpec(train=[{"x": 1}, {"x": 2}], valid=[{"x": 3}]), base=tmp_path, seed=0)
    assert splits.valid.tolist() == [2]
    assert table.folder(2) == tmp_path
    assert table.locate(2) == ("<valid table in memory>", 1)


def test_leakage():
    table = read_table([{"a": "x", "b": 1, "g": 1}, {"a": "y", "b": 1, "g": 2}, {"a": "x", "b": 1, "g": 3}])
    splits = Splits(np.array([0, 1]), np.array([], dtype=np.int64), np.array([2]))
    (warning,) = leakage(table, splits, {"a": False, "b": False}, "g")
    assert warning.startswith(
        "1 of 1 test rows have the same inputs as a training row, e.g. <table in memory>:3 and <table"
    )
    assert warning.endswith(":1")
    assert leakage(table, splits, {"a": False, "g": False}) == []


def test_leakage_of_groups_and_lists():
    table = read_table([{"a": [1, 2], "g": "u"}, {"a": [1, 3], "g": "v"}, {"a": [1, 2], "g": "u"}])
    splits = Splits(np.array([0]), np.array([1]), np.array([2]))
    with pytest.raises(DataError, match="group 'u' is in test here and in train at <table in memory>:1"):
        leakage(table, splits, {"a": False}, "g")
    assert len(leakage(table, splits, {"a": False})) == 1


def test_groups_that_a_fraction_cuts_apart_are_counted():
    table = read_table([{"q": "a"}, {"q": "a"}, {"q": "b"}, {"q": None}])
    (line,) = groups_apart(table, Splits(np.array([0, 3]), np.array([1, 2]), np.array([], dtype=np.int64)), "q")
    assert line.startswith("1 of 2 valid rows are of a 'q' that training rows are of too")
    assert groups_apart(table, Splits(np.array([0, 1]), np.array([2, 3]), np.array([], dtype=np.int64)), "q") == []
