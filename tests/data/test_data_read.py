import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from PIL import Image

from motet import media
from motet.core.errors import DataError
from motet.data.concat import concat_tables
from motet.data.read import read_table

ROWS = [{"n": 1, "t": "x", "v": [1.0, 2.0]}, {"n": None, "t": None, "v": None}, {"n": 3, "t": "z", "v": [3.0]}]
CELLS = {"n": [1, None, 3], "t": ["x", None, "z"], "v": [[1.0, 2.0], None, [3.0]]}


def _write(path, kind):
    table = pa.Table.from_pylist(ROWS)
    if kind == "parquet":
        pa.parquet.write_table(table, path)
    elif kind == "feather":
        pa.feather.write_feather(table, path)
    elif kind == "arrow":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    else:
        path.write_text('{"n":1,"t":"x","v":[1.0,2.0]}\n{"n":null}\n{"n":3,"t":"z","v":[3.0]}\n')
    return path


@pytest.mark.parametrize("kind", ["parquet", "feather", "arrow", "jsonl"])
def test_files(tmp_path, kind):
    table = read_table(_write(tmp_path / f"t.{kind}", kind))
    assert {name: table.cells((name,)) for name in table.column_names} == CELLS
    assert table.locate(2)[1] == 3
    assert table.folder(0) == tmp_path.resolve()


class _Polars:
    def to_arrow(self):
        return pa.Table.from_pylist(ROWS)


class _HuggingFace:
    features: tuple = ()

    def with_format(self, kind):
        assert kind == "arrow"
        return {slice(None): pa.Table.from_pylist(ROWS)} if False else _Sliced()


class _Sliced:
    def __getitem__(self, key):
        return pa.Table.from_pylist(ROWS)[key]


@pytest.mark.parametrize(
    "source",
    [ROWS, pa.Table.from_pylist(ROWS), _Polars(), _HuggingFace(), pd.DataFrame(ROWS)],
    ids=["dicts", "arrow", "polars", "hugging face", "pandas"],
)
def test_tables_in_memory(source, tmp_path):
    table = read_table(source, folder=tmp_path)
    assert {name: table.cells((name,)) for name in table.column_names} == CELLS
    assert table.locate(2) == ("<table in memory>", 3)
    assert table.folder(0) == tmp_path


def test_pandas_columns_of_every_kind():
    frame = pd.DataFrame(
        {
            "c": pd.Categorical(["u", "v"]),
            "mixed": [1, "a"],
            "b": [True, False],
            "d": pd.to_datetime(["2020-01-02", None]),
        },
        index=[7, 7],
    )
    table = read_table(frame)
    assert table.cells(("c",)) == ["u", "v"]
    assert table.cells(("mixed",)) == ["1", "a"]
    assert table.cells(("b",)) == [True, False]
    assert table.cells(("d",))[1] is None


def test_pictures_and_sound_in_memory():
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    table = read_table(
        [{"p": Image.fromarray(picture), "a": picture, "s": (np.zeros(4, np.float32), 8000)}, {"p": None}]
    )
    assert np.array_equal(media.image(table.cells(("p",))[0]), picture)
    assert np.array_equal(media.image(table.cells(("a",))[0]), picture)
    samples, rate = media.sound(table.cells(("s",))[0])
    assert (samples.tolist(), rate) == ([0, 0, 0, 0], 8000)


def test_integers_that_do_not_fit_become_text():
    assert read_table([{"a": 2**70}, {"a": 1}]).cells(("a",)) == [str(2**70), "1"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the file is empty"),
        ('{"a":1}\n[1]\n', "t.jsonl:2: expected an object"),
        ('{"a":1}\n{"a":\n', "t.jsonl:2: not a JSON object on one line"),
        ('{"a":1,"a":2}\n', "t.jsonl:1: not a JSON object on one line: key 'a' stands there twice"),
        ('{"a":1e400}\n', "1e400 is too large"),
        ('{"a":NaN}\n', "NaN is not JSON"),
        ('{"a":1}\n\n{"a":2}\n', "t.jsonl:2: an empty line"),
        ('{"a":1}\n{"a":[1]}\n', "does not fit"),
        ('{"":1}\n', "column names are text"),
    ],
)
def test_bad_jsonl(tmp_path, text, reason):
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(DataError) as error:
        read_table(tmp_path / "t.jsonl", name="t.jsonl")
    assert reason in str(error.value)


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "feather"])
def test_damaged_binary_tables(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    _write(path, suffix)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a whole"):
        read_table(path)


def test_what_is_no_table(tmp_path):
    (tmp_path / "reviews.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"review.csv: no such file; did you mean 'reviews.csv'\?"):
        read_table(tmp_path / "review.csv", name="review.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path)
    (tmp_path / "t.xlsx").write_text("x")
    with pytest.raises(DataError, match=r"no table is read from .xlsx"):
        read_table(tmp_path / "t.xlsx")
    with pytest.raises(DataError, match="choose one of its splits"):
        read_table({"train": ROWS})
    with pytest.raises(DataError, match="no columns"):
        read_table([])
    with pytest.raises(DataError, match="'a' names more than one column"):
        read_table(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_concat_knows_each_rows_file_and_fills_absent_columns(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n5,1\n")
    (tmp_path / "b.jsonl").write_text('{"x": 6.0, "z": "q"}\n{"x": 0.5}\n')
    table = read_table([tmp_path / "a.csv", tmp_path / "b.jsonl"])
    assert table.arrow.to_pylist() == [
        {"x": "5", "y": "1", "z": None},
        {"x": "6", "y": None, "z": "q"},
        {"x": "0.5", "y": None, "z": None},
    ]
    places = [table.locate(row) for row in range(3)]
    assert places == [(str(tmp_path / "a.csv"), 2), (str(tmp_path / "b.jsonl"), 1), (str(tmp_path / "b.jsonl"), 2)]


def test_concat_refuses_what_has_no_common_text(tmp_path):
    with pytest.raises(DataError, match="column 'a' holds lists here"):
        concat_tables([read_table([{"a": [1]}]), read_table([{"a": {"b": 1}}])])
    with pytest.raises(DataError, match="column 'a' holds bytes here"):
        concat_tables([read_table([{"a": b"x"}]), read_table([{"a": 1}])])


def test_absent_cells():
    table = read_table([{"a": "", "b": float("nan")}, {"a": "?", "b": -999.0}, {"a": " ", "b": 0.0}])
    assert table.cells(("a",), missing=("?",)) == [None, None, " "]
    assert table.cells(("b",), missing=("-999",)) == [None, None, 0.0]
    assert table.cells(("a", "b"), missing=("?",)) == [None, [None, -999.0], [" ", 0.0]]


def test_cells_of_chosen_rows_over_chunks():
    arrow = pa.concat_tables([pa.table({"a": [n, n + 1]}) for n in range(0, 20, 2)])
    rows = np.array([19, 0, 7, 7])
    assert read_table(arrow).cells(("a",), rows=rows) == [19, 0, 7, 7]


def test_content_hash_follows_content(tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.csv").write_text("x\n1\n")
    assert read_table(tmp_path / "a.csv").content_hash == read_table(tmp_path / "b.csv").content_hash
    (tmp_path / "b.csv").write_text("x\n2\n")
    assert read_table(tmp_path / "a.csv").content_hash != read_table(tmp_path / "b.csv").content_hash
    assert read_table([{"a": 1}]).content_hash == read_table([{"a": 1}]).content_hash
    assert read_table([{"a": 1}]).content_hash != read_table([{"a": 2}]).content_hash


def test_a_cache_that_can_not_be_written_or_is_damaged_is_no_error(tmp_path, cache, monkeypatch):
    (tmp_path / "a.csv").write_text("x\n1\n")
    read_table(tmp_path / "a.csv")
    (entry,) = (cache / "tables").iterdir()
    entry.write_bytes(b"damaged")
    assert read_table(tmp_path / "a.csv").cells(("x",)) == ["1"]
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    monkeypatch.setenv("MOTET_CACHE", str(blocked))
    assert read_table(tmp_path / "a.csv").cells(("x",)) == ["1"]
