"""Answers from a run folder: columns, kinds of tables, absent inputs, the fence around media, files out."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from PIL import Image

import motet
from motet.core.errors import DataError, SpecError
from motet.serving import Predictor, predictor
from motet.serving.write import write_predictions

NUM_ROWS = 40


def rows() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "id": f"r{index}",
            "photo": None if index % 9 == 4 else f"photos/{index % 4}.png",
            "age": None if index % 7 == 3 else float(rng.normal()),
            "colour": None if index % 5 == 2 else ("red", "blue")[index % 2],
            "sold": ("no", "yes")[index % 2],
            "price": float(rng.normal(100, 10)),
            "tags": ["a|b", "b", "a"][index % 3],
        }
        for index in range(NUM_ROWS)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos and the table, and a run trained on it."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "photos").mkdir()
    for index in range(4):
        Image.new("L", (8, 8), 60 * index).save(folder / "photos" / f"{index}.png")
    Image.new("L", (8, 8), 200).save(folder / "outside.png")
    pd.DataFrame(rows()).to_csv(folder / "table.csv", index=False)
    (folder / "experiment.yaml").write_text(
        json.dumps(
            {
                "data": {"train": "table.csv", "id": "id", "root": "photos", "valid": 0.4},
                "inputs": {"photo": {"kind": "image", "first": 4, "width": 4}, "age": "number", "colour": "category"},
                "tasks": {"sold": "binary", "price": "regression", "tags": "multilabel"},
                "fusion": "late",
                "training": {"epochs": 1},
            }
        )
    )
    motet.fit(folder / "experiment.yaml", out=folder / "run")
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Predictor:
    return motet.load(folder / "run")


@pytest.fixture
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative media cells of tables in memory start from the current folder."""
    monkeypatch.chdir(folder)


def test_columns_and_order(model: Predictor, folder: Path) -> None:
    table = model.predict(folder / "table.csv")
    assert table.column("id").to_pylist() == [f"r{index}" for index in range(NUM_ROWS)]
    assert set(table.column_names) == {
        "id", "price", "price__low", "price__high", "sold", "sold__probability", "sold__set", "tags",
        "tags__probability",
    }  # fmt: skip
    for task in ("price", "sold", "tags"):
        place = table.column_names.index(task)
        own = [name for name in table.column_names if name.startswith(f"{task}__")]
        assert table.column_names[place + 1 : place + 1 + len(own)] == own
    assert set(table.column("sold").to_pylist()) <= {"no", "yes"}
    low, high = table.column("price__low").to_pylist(), table.column("price__high").to_pylist()
    assert all(a <= b for a, b in zip(low, high, strict=True))


def test_without_the_id_column_rows_are_counted_as_in_the_file(model: Predictor, folder: Path) -> None:
    pd.DataFrame(rows()).drop(columns="id").to_csv(folder / "anonymous.csv", index=False)
    table = model.predict(folder / "anonymous.csv")
    assert table.column_names[0] == "row"
    assert table.column("row").to_pylist() == list(range(2, NUM_ROWS + 2))


LIKE: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], type]] = {
    "rows": (lambda given: given, list),
    "pandas": (pd.DataFrame, pd.DataFrame),
    "arrow": (pa.Table.from_pylist, pa.Table),
}


@pytest.mark.parametrize("kind", LIKE)
@pytest.mark.usefixtures("there")
def test_like_kind_in_and_out(model: Predictor, folder: Path, kind: str) -> None:
    make, expected = LIKE[kind]
    answered = model.predict(make(rows()))
    assert isinstance(answered, expected)
    as_rows = {
        "rows": lambda: answered, "pandas": lambda: answered.to_dict("records"), "arrow": lambda: answered.to_pylist(),
    }[kind]()  # fmt: skip
    for ours, theirs in zip(as_rows, model.predict(folder / "table.csv").to_pylist(), strict=True):
        assert ours["sold__probability"] == pytest.approx(theirs["sold__probability"], abs=1e-12)
        assert list(ours["tags"]) == list(theirs["tags"])


@pytest.mark.usefixtures("there")
def test_a_frame_keeps_its_index(model: Predictor) -> None:
    frame = pd.DataFrame(rows()).set_index(pd.Index(range(100, 100 + NUM_ROWS)))
    assert model.predict(frame).index.equals(frame.index)


@pytest.mark.usefixtures("there")
def test_an_absent_column_is_an_absent_input(model: Predictor) -> None:
    frame = pd.DataFrame(rows())
    lacking, emptied = frame.drop(columns=["photo", "colour"]), frame.assign(photo=None, colour=None)
    pd.testing.assert_frame_equal(model.predict(lacking), model.predict(emptied))
    assert not model.predict(lacking)["price"].equals(model.predict(frame)["price"])


def test_a_table_with_none_of_the_inputs_is_refused(model: Predictor) -> None:
    with pytest.raises(DataError, match="none of the model's input columns; expected"):
        model.predict([{"sold": "yes", "size": 3}])
    answer = model.predict([{"age": None}])
    assert len(answer) == 1
    assert answer[0]["sold"] in ("no", "yes")


@pytest.mark.usefixtures("there")
def test_batches_and_row_order_change_nothing(model: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model.predict(rows())
    for size, given in ((1, rows()), (7, rows()[::-1])):
        monkeypatch.setattr(predictor, "BATCH", size)
        answered = {row["id"]: row for row in model.predict(given)}
        for one in whole:
            other = answered[one["id"]]
            assert (other["sold"], other["tags"]) == (one["sold"], one["tags"])
            for name in ("price", "price__low", "sold__probability"):
                assert other[name] == pytest.approx(one[name], rel=1e-5, abs=1e-5)


@pytest.mark.usefixtures("there")
def test_media_stay_inside_the_root_of_the_run(model: Predictor, folder: Path) -> None:
    inside, outside = [{"photo": "photos/1.png"}], [{"photo": "outside.png"}]
    assert len(model.predict(inside)) == 1
    for cell in ("outside.png", str(folder / "outside.png"), "photos/../outside.png"):
        with pytest.raises(DataError, match=r"photo.*outside"):
            model.predict([{"photo": cell}])
    (folder / "photos" / "link.png").unlink(missing_ok=True)
    (folder / "photos" / "link.png").symlink_to(folder / "outside.png")
    with pytest.raises(DataError, match="photo"):
        model.predict([{"photo": "photos/link.png"}])
    assert len(model.predict(outside, root=folder)) == 1
    with pytest.raises(DataError, match="photo"):
        model.predict(inside, root=folder / "run")


def test_a_bundle_alone_answers_the_same(model: Predictor, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "run" / "bundle", tmp_path / "bundle")
    alone = motet.load(tmp_path / "bundle")
    assert alone.predict(folder / "table.csv", root=folder).equals(model.predict(folder / "table.csv"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_files_hold_what_predict_answers(model: Predictor, folder: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    assert write_predictions(model, folder / "table.csv", path) == NUM_ROWS
    expected = model.predict(folder / "table.csv")
    if suffix == ".parquet":
        assert parquet.read_table(path).equals(expected)
    elif suffix == ".jsonl":
        assert [json.loads(line) for line in path.read_text().splitlines()] == expected.to_pylist()
    else:
        with path.open(newline="") as file:
            found = list(csv.DictReader(file))
        for line, row in zip(found, expected.to_pylist(), strict=True):
            assert line["tags"] == "|".join(row["tags"])
            assert float(line["price"]) == row["price"]
            assert line["sold"] == row["sold"]


@pytest.mark.parametrize("kind", LIKE)
@pytest.mark.usefixtures("there")
def test_tables_in_memory_are_written_too(model: Predictor, tmp_path: Path, kind: str) -> None:
    given = LIKE[kind][0](rows())
    assert write_predictions(model, given, tmp_path / "out.jsonl") == NUM_ROWS
    first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert first["id"] == "r0"


def test_writing_checks_the_suffix_and_api_guards_the_file(model: Predictor, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"\.csv, \.parquet, \.jsonl"):
        write_predictions(model, folder / "table.csv", tmp_path / "out.xlsx")
    (tmp_path / "out.csv").write_text("precious")
    with pytest.raises(SpecError, match="is there already"):
        motet.predict(folder / "run", folder / "table.csv", output=tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "precious"
    assert motet.predict(folder / "run", folder / "table.csv", output=tmp_path / "out.csv", force=True) == NUM_ROWS


def test_a_bad_cell_names_file_row_and_column(model: Predictor, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("age,colour\n1,red\nmany,blue\n")
    with pytest.raises(DataError, match=r"bad\.csv:3:age"):
        model.predict(tmp_path / "bad.csv")


@pytest.mark.usefixtures("there")
def test_a_category_never_seen_is_answered(model: Predictor) -> None:
    assert len(model.predict([{"colour": "ultraviolet"}])) == 1


def test_outputs_take_labels_where_there_are_some(model: Predictor, folder: Path) -> None:
    from motet.data import read_table

    table = read_table([{"age": 1.0, "sold": "yes"}, {"age": 2.0, "sold": None}])
    (found,) = model.outputs(table)
    assert list(found.targets) == ["sold"]
    assert found.labelled["sold"].tolist() == [True, False]
    with pytest.raises(DataError, match="no task has its labels there"):
        model.outputs(read_table([{"age": 1.0}]))
    assert list(model.collected(table).targets) == []
