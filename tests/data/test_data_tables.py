"""Several tables as one: their names, columns renamed, rows found again, and what is wrong with how they are given."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import yaml
from pydantic import ValidationError

from motet.core.errors import BundleError, DataError, MotetError, SpecError
from motet.core.flow import Column, Place
from motet.data import DataSpec, Fence, Splits, Table, TableSpec, cells_as_read, leakage, load_data, read_table
from motet.data.read import _READERS, read_held_out
from motet.data.sources import SUFFIXES, absolute_paths, tables_of
from motet.data.store import read_cells
from motet.inputs import Image, Number
from motet.spec import load


@pytest.fixture
def two(tmp_path: Path) -> Path:
    (tmp_path / "gum").mkdir()
    (tmp_path / "meld").mkdir()
    (tmp_path / "gum" / "train.csv").write_text("tokens,age\na b,1\nc,2\nd,3\ne,4\n")
    (tmp_path / "meld" / "train.csv").write_text("words,mood,part\nf,sad,train\ng,glad,test\nh,glad,valid\n")
    return tmp_path


def loaded(base: Path, **data: Any) -> tuple[Table, Any]:
    return load_data(DataSpec(**data), base=base, seed=0)


GUM = {"table": "gum/train.csv", "name": "gum", "rename": {"tokens": "words"}}


# --- names


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a/b.csv", ["b"]),
        (Path("a/b.c.csv"), ["b.c"]),
        (["x.csv", "y.csv"], ["x", "y"]),
        (["gum/train.csv", "meld/train.csv", "x.csv"], ["gum/train", "meld/train", "x"]),
        (["a/gum/train.csv", "b/gum/train.csv"], ["a/gum/train", "b/gum/train"]),
        (["a.csv", "a.csv"], ["a", "a"]),
        (["a.csv", "a.jsonl", "b.csv"], ["a.csv", "a.jsonl", "b"]),
        (["", "/"], ["train table 1", "/"]),
        (["a.csv", {"table": "a.csv", "name": "b"}], ["a", "b"]),
        (["x/b.csv", {"table": "a.csv", "name": "b"}], ["x/b", "b"]),
        ([{"x": 1}], ["train table"]),
        ([[{"x": 1}], "x.csv"], ["train table 1", "x"]),
        ({"table": "x.csv", "name": "y"}, ["y"]),
    ],
)
def test_a_table_is_called_by_its_file_unless_it_has_a_name(source: Any, names: list[str]) -> None:
    found = [one.name for one in tables_of(source, "train")]
    assert found == names


def test_the_suffixes_are_those_that_can_be_read() -> None:
    assert set(SUFFIXES) == set(_READERS)


def test_rows_with_a_column_called_table_are_rows() -> None:
    rows = [{"table": 4, "name": "Bo"}, {"table": 7, "name": "Al"}]
    assert DataSpec(train=rows).train == rows
    guests = [{"table": "oak", "guests": 4}]
    assert DataSpec(train=guests).train == guests
    assert read_table(guests).column_names == ("table", "guests")


# --- what a list of tables is read as


def test_renamed_columns_meet_and_absent_ones_are_absent(two: Path) -> None:
    table, _ = loaded(two, train=[GUM, "meld/train.csv"])
    assert table.cells(("words",)) == ["a b", "c", "d", "e", "f", "g", "h"]
    assert table.cells(("age",)) == ["1", "2", "3", "4", None, None, None]
    assert table.cells(("mood",)) == [None] * 4 + ["sad", "glad", "glad"]
    assert "tokens" not in table.column_names
    assert table.locate(4) == ("meld/train.csv", 2)
    assert table.folder(0) == two / "gum"
    assert {name: own.tolist() for name, own in table.by_table().items()} == {"gum": [0, 1, 2, 3], "train": [4, 5, 6]}
    assert table.by_table(np.array([6, 0, 5]))["train"].tolist() == [0, 2]


def test_tables_of_one_name_count_as_one() -> None:
    parts = [{"table": [{"x": number}], "name": "x"} for number in range(3)]
    table = read_table([*parts, {"table": [{"x": 9}], "name": "y"}])
    assert {name: own.tolist() for name, own in table.by_table().items()} == {"x": [0, 1, 2], "y": [3]}


def test_lists_in_one_table_and_text_in_another_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("words,boxes,n\na whole sentence,,5\n,[],x\n")
    first = [{"words": ["two", "words"], "boxes": [{"label": "cat"}], "n": 1}, {"words": None}, {"words": []}]
    table = read_table([first, tmp_path / "b.csv", [{"y": 1}], [{"words": ["more"], "n": 7}]])
    expected = [["two", "words"], None, [], "a whole sentence", None, None, ["more"]]
    assert table.cells(("words",)) == expected
    assert table.cells(("words",), rows=np.array([6, 3, 0])) == [["more"], "a whole sentence", ["two", "words"]]
    assert table.cells(("boxes",)) == [[{"label": "cat"}], None, None, None, "[]", None, None]
    assert table.cells(("n",)) == ["1", None, None, "5", "x", None, "7"]
    none = np.array([], dtype=np.int64)
    assert len(leakage(table, Splits(np.array([0, 1, 3]), np.array([3, 6]), none), {"words": False})) == 1
    assert (
        leakage(table, Splits(np.array([0, 1, 3]), np.array([5, 6]), none), {"words": False}) == []
    )  # 1 and 5: absent


def test_names_may_be_swapped() -> None:
    table = read_table({"table": [{"a": 1, "b": 2}], "rename": {"a": "b", "b": "a"}})
    assert table.cells(("a",)) == [2]


def test_frames_and_files_go_together(two: Path) -> None:
    frame = pd.DataFrame({"words": ["z", None]})
    table, _ = loaded(two, train=[GUM, {"table": frame, "name": "frame"}], valid=0.3)
    assert table.cells(("words",))[-2:] == ["z", None]
    assert table.locate(5) == ("<frame in memory>", 2)


def test_another_name_for_a_column_is_other_content(two: Path) -> None:
    plain = read_table(two / "gum" / "train.csv").content_hash
    renamed = read_table({"table": two / "gum" / "train.csv", "rename": {"tokens": "words"}}).content_hash
    again = read_table({"table": two / "gum" / "train.csv", "name": "gum"}).content_hash
    assert plain == again != renamed


def test_problems_name_the_file_its_row_and_its_own_column(two: Path) -> None:
    (two / "odd.csv").write_text("years\n7\nold\n")
    table = read_table([GUM | {"table": two / "gum/train.csv"}, {"table": two / "odd.csv", "rename": {"years": "age"}}])
    spec = Number(width=4)
    columns = {"age": Column(("age",), spec.fit(["1", "2"]))}
    with pytest.raises(DataError, match=r"odd\.csv:3:years: not a number: 'old'"):
        read_cells(table, None, columns)


def test_media_start_from_the_folder_of_their_own_table_as_paths_or_as_bytes(tmp_path: Path) -> None:
    for name, shade in (("one", 10), ("two", 200)):
        (tmp_path / name).mkdir()
        PIL.Image.new("L", (8, 8), shade).save(tmp_path / name / "p.png")
        (tmp_path / name / "t.csv").write_text("photo\np.png\n")
    held = [{"photo": (tmp_path / "two" / "p.png").read_bytes()}]
    table = read_table([tmp_path / "one" / "t.csv", tmp_path / "two" / "t.csv", held])
    reader = Image(size=(8, 8), channels=1).fit([tmp_path / "one" / "p.png"])
    store = read_cells(table, None, {"photo": Column(("photo",), reader, media=True)})
    assert [int(item.mean()) for item in store.columns["photo"].take(np.arange(3), np.arange(3))] == [10, 200, 200]
    assert isinstance(Fence(None).resolve(table.cells(("photo",))[0], tmp_path / "one"), dict)


# --- what is wrong


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"table": "gum.csv", "renam": {}}, "a table has no field 'renam'; did you mean 'rename'?"),
        ({"table": "gum.csv", "weight": 0}, "weight: expected greater than 0, found 0"),
        ({"table": "gum.csv", "rename": {"a": "x", "b": "x"}}, "'a' and 'b' are both renamed to 'x'"),
    ],
)
def test_a_table_described_wrongly(table: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DataSpec(train=["x.csv", table])
    assert f"table 2: {message}" in str(caught.value) or f"table 2: rename: {message}" in str(caught.value)
    with pytest.raises(SpecError):
        read_table(["x.csv", table])


@pytest.mark.parametrize("field", [{"weight": 2.0}, {"split": "part"}])
def test_held_out_tables_take_no_weight_and_no_split(field: Any) -> None:
    with pytest.raises(ValidationError, match=f"takes no `{next(iter(field))}`"):
        DataSpec(train="x.csv", valid=[{"table": "y.csv", **field}])
    assert DataSpec(train="x.csv", valid=[{"table": "y.csv", "rename": {"a": "b"}}]).valid[0].rename == {"a": "b"}


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ({"tokns": "words"}, r"gum/train\.csv: no column 'tokns' to be renamed to 'words'; did you mean 'tokens'\?"),
        ({"tokens": "age"}, r"'tokens' is to be renamed to 'age', but there is a column 'age' already"),
    ],
)
def test_columns_that_can_not_be_renamed(two: Path, rename: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        loaded(two, train=[GUM | {"rename": rename}])


def test_a_mistake_in_yaml_is_told_with_its_place() -> None:
    document = {"inputs": {"a": "number"}, "tasks": {"b": "binary"}}
    with pytest.raises(SpecError, match=r"^data\.train: table 2: a table has no field 'nam'; did you mean 'name'\?"):
        load(document | {"data": {"train": ["a.csv", {"table": "b.csv", "nam": "b"}]}})
    with pytest.raises(SpecError, match=r"^data\.sampling"):
        load(document | {"data": {"train": "a.csv", "sampling": 0}})


# --- written and read again


def test_the_resolved_experiment_names_tables_by_full_paths(two: Path) -> None:
    spec = DataSpec(train=[GUM | {"weight": 2, "split": "part"}, Path("meld/train.csv")], valid=["v.csv"], test=0.2)
    full = spec.model_copy(update={part: absolute_paths(getattr(spec, part), part, two) for part in ("train", "valid")})
    document = yaml.safe_load(yaml.safe_dump(full.model_dump(mode="json")))
    assert document["train"] == [
        {
            "table": str(two / "gum/train.csv"),
            "name": "gum",
            "rename": {"tokens": "words"},
            "weight": 2.0,
            "split": "part",
        },
        {"table": str(two / "meld/train.csv"), "name": "train", "rename": {}, "weight": 1.0, "split": None},
    ]
    assert document["valid"][0]["table"] == str(two / "v.csv")
    assert DataSpec(**document).model_dump(mode="json") == document
    assert [one.name for one in tables_of(DataSpec(**document).train)] == ["gum", "train"]
    assert absolute_paths("a.csv", "train", two) == str(two / "a.csv")
    assert absolute_paths(0.1, "valid", two) == 0.1


def test_tables_in_memory_are_only_named() -> None:
    spec = DataSpec(train=[[{"x": 1}], {"table": [{"x": 2}], "name": "b"}])
    written = json.loads(spec.model_dump_json())["train"]
    assert written[0] == "<table in memory>"
    assert (written[1]["table"], written[1]["name"]) == ("<table in memory>", "b")
    assert TableSpec(table="x.csv", rename={"a": "b"}, split="a").own_split == "b"


def test_no_error_is_of_another_kind(two: Path) -> None:
    for source in ({"table": None}, {"table": "gum.csv", "rename": 3}, ["x.csv", 3], [{"table": "x.csv"}, {"y": 1}]):
        with pytest.raises((MotetError, ValidationError)) as caught:
            loaded(two, train=source)
        assert not isinstance(caught.value, BundleError)


def test_a_table_without_one_of_several_columns_lacks_what_they_make() -> None:
    table = read_table([[{"a": 1, "b": 2}, {"a": 3, "b": None}], [{"a": 5, "c": 1}]])
    rows = np.arange(3)
    assert list(cells_as_read(table, Place(("a", "b")), rows)) == [[1, 2], [3, None], None]
    assert len(list(cells_as_read(table, Place(("a", "b"), separator="|"), rows))[2].parts) == 1
    assert table.columns_of(rows[:2]) == ("a", "b")
    assert table.columns_of(rows) == ("a", "b", "c")


def test_whole_numbers_that_no_float_holds_become_text_beside_floats() -> None:
    table = read_table([[{"id": 2**53 + 1}], [{"id": 1.5}]])
    assert table.cells(("id",)) == [str(2**53 + 1), "1.5"]
    with pytest.raises(DataError, match="lists or objects of another form"):
        read_table([[{"id": [2**53 + 1]}], [{"id": [1.5]}]])


def test_pictures_of_one_name_in_two_folders_are_two(tmp_path: Path) -> None:
    for folder in ("p", "q"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t.csv").write_text("photo\n1.png\n")
    (tmp_path / "above.csv").write_text("photo\np/1.png\n")
    table = read_table([tmp_path / "p" / "t.csv", tmp_path / "q" / "t.csv", tmp_path / "above.csv"])
    splits = Splits(np.array([0]), np.array([1]), np.array([2]))
    (warning,) = leakage(table, splits, {"photo": True})
    assert warning.startswith("1 of 1 test rows")
    assert "1 of 1 valid rows" in leakage(table, splits, {"photo": False})[0]


@pytest.mark.parametrize("field", [{"weight": 3}, {"split": "part"}])
def test_what_only_training_heeds_is_refused_of_other_tables(field: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="a table of held-out rows takes no"):
        read_held_out({"table": [{"x": 1}], **field})
    assert read_held_out({"table": [{"x": 1}], "name": "other"}).parts[0].table == "other"


def test_a_list_is_not_one_table() -> None:
    with pytest.raises(SpecError, match="expected one table, found a list"):
        read_table({"table": ["a.csv", "b.csv"]})
