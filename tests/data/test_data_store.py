import json
import os

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import BaseModel

from motet import media
from motet.core.errors import CellError, DataError
from motet.core.flow import Column
from motet.data.dataset import Dataset, rows_to_batch
from motet.data.items import Items, ItemsBuilder
from motet.data.problems import BadCells, Problem
from motet.data.read import read_table
from motet.data.store import read_cells, verify


class Number(BaseModel):
    varies: bool = False

    def read(self, cell):
        try:
            return np.asarray(float(cell), dtype=np.float32)
        except ValueError:
            raise CellError("expected a number") from None

    def augment(self, item, generator):
        return item + np.float32(generator.random())

    def batch(self, items):
        return {"x": torch.from_numpy(np.stack(items))}


class Letters(BaseModel):
    """Items of different length; batches are padded."""

    varies: bool = False

    def read(self, cell):
        return np.frombuffer(str(cell).encode(), dtype=np.uint8)

    def augment(self, item, generator):
        return generator.permutation(item)

    def batch(self, items):
        padded = np.zeros((len(items), max(map(len, items))), dtype=np.uint8)
        for row, item in zip(padded, items, strict=True):
            row[: len(item)] = item
        return {"text": torch.from_numpy(padded), "length": torch.tensor([len(item) for item in items])}


class Picture:
    """Notes in `reads` what it decodes."""

    varies = False

    def __init__(self, reads, scale=1):
        self.reads, self.scale = reads, scale

    def read(self, cell):
        self.reads.append(cell)
        return media.image(cell) * np.uint8(self.scale)

    def augment(self, item, generator):
        return item

    def batch(self, items):
        return {"pixels": torch.from_numpy(np.stack(items))}

    def model_dump_json(self):
        return json.dumps({"scale": self.scale})


class Broken(Number):
    def read(self, cell):
        raise KeyError("my\nown fault")


ROWS = [{"a": "1", "t": "xyz"}, {"a": None, "t": "u"}, {"a": "3", "t": None}, {"a": "4", "t": "vw"}]


def _columns(**options):
    return {"a": Column(("a",), Number(**options)), "t": Column(("t",), Letters(**options))}


def _dataset(rows=None, keep_bytes=2**20, varies=False, columns=None):
    columns = columns or _columns(varies=varies)
    store = read_cells(read_table(rows or ROWS), None, columns, keep_bytes=keep_bytes)
    return Dataset(store, inputs=tuple(columns), seed=5)


def _equal(one, other):
    for name, cells in one.inputs.items():
        assert torch.equal(cells.present, other.inputs[name].present)
        assert set(cells.values) == set(other.inputs[name].values)
        for key, value in cells.values.items():
            assert torch.equal(value, other.inputs[name].values[key])
    assert torch.equal(one.rows, other.rows)


def test_batch_has_values_masks_and_rows():
    batch = _dataset().batch(np.array([3, 1, 0]), epoch=None)
    assert batch.rows.tolist() == [3, 1, 0]
    assert batch.inputs["a"].values["x"].tolist() == [4, 0, 1]
    assert batch.inputs["a"].present.tolist() == [True, False, True]
    assert batch.inputs["t"].values["text"].tolist() == [list(b"vw\0"), list(b"u\0\0"), list(b"xyz")]
    assert batch.inputs["t"].values["length"].tolist() == [2, 1, 3]


def test_kept_and_streamed_items_give_the_same_batches():
    for epoch in (None, 0, 1):
        kept, streamed = (_dataset(keep_bytes=size, varies=True) for size in (2**20, 0))
        assert kept.store.columns["t"].items is not None
        assert streamed.store.columns["t"].items is None
        _equal(kept.batch(np.array([2, 0, 1]), epoch=epoch), streamed.batch(np.array([2, 0, 1]), epoch=epoch))


def test_a_variation_depends_on_seed_epoch_row_and_name_alone():
    rows = [{"a": "1", "b": "1"}, {"a": "1", "b": "1"}]
    columns = {name: Column((name,), Number(varies=True)) for name in ("a", "b")}
    dataset = _dataset(rows, columns=columns)
    both = dataset.batch(np.array([0, 1]), epoch=2).inputs
    drawn = [both[name].values["x"][place].item() for name in "ab" for place in (0, 1)]
    assert len(set(drawn)) == 4
    assert dataset.batch(np.array([1]), epoch=2).inputs["a"].values["x"].item() == drawn[1]
    assert dataset.batch(np.array([1]), epoch=3).inputs["a"].values["x"].item() != drawn[1]


def test_augmenting_in_place_does_not_change_what_is_kept():
    class InPlace(Number):
        def augment(self, item, generator):
            item += 1
            return item

    dataset = _dataset([{"a": "1"}], columns={"a": Column(("a",), InPlace(varies=True))})
    for epoch in range(3):
        assert dataset.batch(np.array([0]), epoch=epoch).inputs["a"].values["x"].item() == 2


def test_a_column_absent_in_the_whole_batch_keeps_its_tensors():
    cells = _dataset().batch(np.array([2, 2]), epoch=0).inputs["t"]
    assert {name: (list(value.shape), value.dtype) for name, value in cells.values.items()} == {
        "text": ([2, 3], torch.uint8),
        "length": ([2], torch.int64),
    }
    assert not cells.values["text"].any()
    assert not cells.present.any()


def test_a_column_without_any_cell_has_no_tensors():
    batch, problems = rows_to_batch(read_table([{"a": None}]), {"a": Column(("a",), Number())})
    assert batch.inputs["a"].values == {}
    assert batch.inputs["a"].present.tolist() == [False]
    assert problems == []


def test_missing_words_and_several_columns():
    class Pair(Number):
        def read(self, cell):
            if None in cell:
                raise CellError("one of the columns is empty")
            return np.array([float(value) for value in cell], dtype=np.float32)

    table = read_table([{"a": "1", "b": "2"}, {"a": "?", "b": None}, {"a": "3", "b": "?"}])
    batch, problems = rows_to_batch(table, {"p": Column(("a", "b"), Pair(), missing=("?",))}, on_bad_cell="skip")
    assert batch.inputs["p"].values["x"].tolist() == [[1, 2], [0, 0], [0, 0]]
    assert [str(problem) for problem in problems] == [
        "<table in memory>:3:a,b: one of the columns is empty: ['3', None]"
    ]


def test_policy_error_lists_every_bad_cell(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{'x' if n % 2 else n},y\n" for n in range(60)))
    columns = {"a": Column(("a",), Number()), "b": Column(("b",), Number())}
    with pytest.raises(BadCells) as error:
        read_cells(read_table(tmp_path / "t.csv", name="t.csv"), None, columns)
    assert len(error.value.problems) == 90
    assert error.value.problems[0] == Problem("t.csv", 3, "a", "'x'", "expected a number")
    lines = str(error.value).splitlines()
    assert lines[:2] == ["90 cells can not be read:", "t.csv:3:a: expected a number: 'x'"]
    assert lines[21] == "... and 70 more"


def test_policy_skip_makes_bad_cells_absent_up_to_the_fraction():
    rows = [{"a": "1"}, {"a": "x"}, {"a": "3"}, {"a": None}]
    columns = {"a": Column(("a",), Number())}
    store = read_cells(read_table(rows), None, columns, on_bad_cell="skip", max_bad_fraction=0.34)
    assert store.columns["a"].present.tolist() == [True, False, True, False]
    assert len(store.problems) == 1
    with pytest.raises(DataError, match=r"1 of 3 cells of 'a' can not be read, more than data\.max_bad_fraction"):
        read_cells(read_table(rows), None, columns, on_bad_cell="skip", max_bad_fraction=0.33)


def test_a_fault_of_the_reader_is_a_problem_too():
    (problem,) = verify(read_table([{"a": "1"}]), None, {"a": Column(("a",), Broken())})
    assert "\n" not in str(problem)
    assert problem.reason == "KeyError: 'my\\nown fault'"


def test_unknown_columns_are_named():
    with pytest.raises(DataError, match=r"no column 'aa' for 'x'; did you mean 'a'\?"):
        read_cells(read_table(ROWS), None, {"x": Column(("aa",), Number())})


def test_progress_counts_cells():
    told = []
    read_cells(read_table(ROWS), np.array([0, 2]), _columns(), progress=lambda done, total: told.append((done, total)))
    assert told == [(2, 4), (4, 4)]


@pytest.fixture
def pictures(tmp_path):
    for number in range(4):
        Image.fromarray(np.full((2, 3 + number % 2), number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    return tmp_path


def _read_pictures(folder, cells, reader, **options):
    table = read_table([{"p": cell} for cell in cells], folder=folder)
    return read_cells(table, None, {"p": Column(("p",), reader, media=True)}, **options)


CELLS = ["0.png", None, "1.png", "bad.png", "missing.png", "2.png"]


@pytest.mark.parametrize("workers", [0, 3])
def test_media_are_remembered_until_anything_changes(pictures, workers):
    options = {"on_bad_cell": "skip", "max_bad_fraction": 1.0, "workers": workers}
    first, again = Picture(reads=[]), Picture(reads=[])
    stores = [_read_pictures(pictures, CELLS, reader, **options) for reader in (first, again)]
    assert (len(first.reads), len(again.reads)) == (4, 0)
    assert stores[0].problems == stores[1].problems
    assert [problem.row for problem in stores[0].problems] == [4, 5]
    for place in (0, 2, 5):
        items = [store.columns["p"].take(np.array([place]), np.array([place]))[0] for store in stores]
        assert np.array_equal(items[0], items[1])
    changed = {
        "another reader": lambda: _read_pictures(pictures, CELLS, Picture(scale=2, reads=first.reads), **options),
        "another order": lambda: _read_pictures(pictures, CELLS[::-1], first, **options),
        "a touched file": lambda: (
            os.utime(pictures / "0.png", ns=(1, 1)),
            _read_pictures(pictures, CELLS, first, **options),
        ),
        "a file that appeared": lambda: (
            (pictures / "missing.png").write_bytes((pictures / "0.png").read_bytes()),
            _read_pictures(pictures, CELLS, first, **options),
        ),
    }
    for change, read in changed.items():
        first.reads.clear()
        read()
        assert first.reads, change


def test_bytes_are_remembered_by_content(pictures):
    reader = Picture(reads=[])
    for number in (0, 0, 1):
        _read_pictures(pictures, [(pictures / f"{number}.png").read_bytes()], reader)
    assert len(reader.reads) == 2


def test_damaged_memory_is_read_again(pictures, cache):
    reader = Picture(reads=[])
    _read_pictures(pictures, ["0.png"], reader)
    (entry,) = (cache / "items").iterdir()
    (entry / "flat.npy").write_bytes(b"damaged")
    store = _read_pictures(pictures, ["0.png"], reader)
    assert len(reader.reads) == 2
    assert store.columns["p"].items is not None


def test_check_then_train_decodes_once(pictures):
    reader = Picture(reads=[])
    table = read_table([{"p": "0.png"}], folder=pictures)
    columns = {"p": Column(("p",), reader, media=True)}
    assert verify(table, None, columns) == []
    read_cells(table, None, columns)
    assert len(reader.reads) == 1


def test_a_file_that_breaks_while_streaming_is_an_error_with_its_place(pictures):
    store = _read_pictures(pictures, ["0.png"], Picture(reads=[]), keep_bytes=0)
    (pictures / "0.png").unlink()
    with pytest.raises(DataError, match=r"<table in memory>:1:p: no such file.*changed meanwhile"):
        Dataset(store, inputs=("p",)).batch(np.array([0]), epoch=None)


def test_items_of_one_and_of_several_shapes():
    for arrays in (
        [np.float32(1).reshape(()), np.float32(2).reshape(())],
        [np.zeros((2, 3)), np.ones((2, 3))],
        [np.zeros((2, 3)), np.ones((1, 0)), np.full((4, 1), 2.0)],
    ):
        builder = ItemsBuilder(budget=1000)
        for array in arrays:
            builder.add(array)
        taken = builder.items().take(np.array([len(arrays) - 1, 0]))
        assert np.array_equal(taken[0], arrays[-1])
        assert np.array_equal(taken[1], arrays[0])
        assert all(item.flags.writeable for item in taken)


def test_items_that_do_not_go_together_are_not_kept():
    for odd in (np.zeros(2, np.int64), np.zeros((2, 2), np.float32), np.zeros(1000, np.float32)):
        builder = ItemsBuilder(budget=100)
        builder.add(np.zeros(2, np.float32))
        builder.add(odd)
        assert builder.items() is None
    assert isinstance(ItemsBuilder(10).items(), Items)
