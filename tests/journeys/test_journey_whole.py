"""From a table to answers by every verb, and what must not make a difference on the way."""

import csv
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import yaml

import motet
from motet.cli import _run

TASKS = ("bought", "colour", "price", "tags")
INPUTS = ("age", "el", "note", "photo", "shop", "tone")
COLUMNS = {
    "bought": ["bought", "bought__probability", "bought__set"],
    "colour": ["colour", "colour__probability", "colour__set"],
    "tags": ["tags", "tags__probability"],
    "price": ["price", "price__low", "price__high"],
}
SMALL = (
    "--set",
    "data.valid=0.2",
    "--set",
    "training.epochs=2",
    "--set",
    "fusion={kind: concat, width: 16}",
    "--set",
    "sharing.width=16",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, make_shop: Callable[..., Path]) -> Iterator[Path]:
    """The current folder, with a table and a run that `init`, `check` and `train` made of it."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTET_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.chdir(folder)
        make_shop(folder)
        tasks = [word for task in TASKS for word in ("--task", task)]
        assert _run(["init", "shop.csv", *tasks]) == 0
        assert _run(["check", "experiment.yaml"]) == 0
        assert _run(["train", "experiment.yaml", "--out", "runs/first", *SMALL]) == 0
        yield folder


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place / "runs" / "first"


@pytest.fixture
def small(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_experiment: Any) -> Callable[..., Path]:
    """`small("name", **rooms)` trains a smaller experiment over the shop; the folder of the run."""
    monkeypatch.chdir(place)

    def train(name: str, **rooms: object) -> Path:
        experiment = write_experiment(place, name=f"{name}.yaml", **rooms)
        return motet.fit(experiment, out=tmp_path / name).folder

    return train


@pytest.fixture(scope="module")
def one(place: Path, tmp_path_factory: pytest.TempPathFactory, write_experiment: Any) -> Path:
    """A run of the smaller experiment, to be compared with others."""
    experiment = write_experiment(place, name="one.yaml")
    return motet.fit(experiment, out=tmp_path_factory.mktemp("one") / "run").folder


def weights(run: Path) -> bytes:
    return (run / "bundle" / "weights.safetensors").read_bytes()


def records(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def predicted(run: Path, data: str, out: Path) -> list[dict[str, str]]:
    assert _run(["predict", str(run), "--data", data, "-o", str(out)]) == 0
    return records(out)


# --- what is written


def test_init_found_every_kind(run: Path) -> None:
    document = yaml.safe_load((run.parents[1] / "experiment.yaml").read_text())
    kinds = {name: one if isinstance(one, str) else one["kind"] for name, one in document["inputs"].items()}
    wanted = {"photo": "image", "tone": "audio", "note": "text", "age": "number", "shop": "category", "el": "vector"}
    assert wanted.items() <= kinds.items()
    assert document["tasks"] == {
        "bought": "binary",
        "colour": "multiclass",
        "price": "regression",
        "tags": "multilabel",
    }
    assert document["data"]["id"] == "id"


def test_the_run_folder_holds_what_it_should(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert names == {
        "experiment.yaml",
        "bundle",
        "checkpoints",
        "log.jsonl",
        "relations.json",
        "report.json",
        "report.html",
        "predictions",
    }
    assert {path.name for path in (run / "bundle").iterdir()} == {"bundle.json", "manifest.json", "weights.safetensors"}
    assert not list(run.rglob("*.partial"))
    assert "auto" not in values(yaml.safe_load((run / "experiment.yaml").read_text()))
    assert str(run.parents[1]) not in (run / "bundle" / "bundle.json").read_text(), "a path of this machine"


def values(document: Any) -> list[Any]:
    if isinstance(document, dict):
        return [leaf for part in document.values() for leaf in values(part)]
    return [leaf for part in document for leaf in values(part)] if isinstance(document, list) else [document]


def test_the_log_has_a_line_per_step_and_per_validation(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "losses" in line]
    validations = [line for line in lines if "valid" in line]
    assert [line["step"] for line in steps] == list(range(1, len(steps) + 1))
    assert [line["epoch"] for line in validations] == [1, 2]
    assert all(set(line["losses"]) <= set(TASKS) for line in steps)
    assert all(set(line["valid"]) == set(TASKS) for line in validations)


def test_the_report_says_what_it_promises(run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    assert report["rows_scored"] == "test"
    assert set(report["tasks"]) == set(TASKS)
    assert set(INPUTS) <= set(report["inputs"])
    for task in report["tasks"].values():
        further = set(task) - {"kind", "primary", "metrics", "baseline", "single_task", "rows"}
        assert len(task) - len(further) == 6
        assert further <= {"baselines", "calibration", "coverage", "abstention", "suspects", "slices", "synergy"}
        assert next(iter(task["metrics"])) == task["primary"]
        assert set(task["metrics"]) == set(task["baseline"])
        assert all(set(one) == {"value", "low", "high", "higher_is_better"} for one in task["metrics"].values())
    for name in INPUTS:
        assert 0 < report["inputs"][name]["present_fraction"] <= 1
        assert set(report["inputs"][name]["contribution"]) == set(TASKS)
    html = (run / "report.html").read_text()
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert "https://" not in html


# --- the verbs agree


def test_answers_are_one_row_for_each_in_every_format(run: Path, tmp_path: Path) -> None:
    model, rows = motet.load(run), records(Path("shop.csv"))
    python = model.predict("shop.csv")
    assert isinstance(python, pa.Table)
    assert python.column_names == ["id", *(name for task in sorted(COLUMNS) for name in COLUMNS[task])]
    assert python.column("id").to_pylist() == [row["id"] for row in rows]
    for suffix in ("csv", "parquet", "jsonl"):
        assert _run(["predict", str(run), "--data", "shop.csv", "-o", str(tmp_path / f"out.{suffix}")]) == 0
    assert parquet.read_table(tmp_path / "out.parquet").equals(python)
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == python.to_pylist()
    for line, row in zip(records(tmp_path / "out.csv"), python.to_pylist(), strict=True):
        assert float(line["price"]) == row["price"]
        assert float(line["bought__probability"]) == row["bought__probability"]
        assert line["tags"] == "|".join(row["tags"])
        assert (line["bought"], line["colour"]) == (row["bought"], row["colour"])
        assert row["price__low"] < row["price"] < row["price__high"]


def test_a_table_in_memory_is_answered_as_the_file_and_in_kind(run: Path) -> None:
    model = motet.load(run)
    expected = model.predict("shop.csv")
    rows: list[dict[str, Any]] = [dict(row) for row in records(Path("shop.csv"))]
    for row in rows:
        row["age"] = float(row["age"]) if row["age"] else None
    frame = pd.read_csv("shop.csv").set_index(pd.Index(range(100, 160)))
    assert model.predict(rows) == expected.to_pylist()
    assert model.predict(pa.Table.from_pylist(rows)).equals(expected)
    answered = model.predict(frame)
    assert isinstance(answered, pd.DataFrame)
    assert list(answered.index) == list(frame.index)
    assert pa.Table.from_pandas(answered, preserve_index=False).to_pylist() == expected.to_pylist()


def test_a_bundle_alone_and_elsewhere_answers_the_same(run: Path, tmp_path: Path) -> None:
    expected = motet.load(run).predict("shop.csv")
    shutil.copytree(run / "bundle", tmp_path / "model")
    assert motet.load(tmp_path / "model").predict("shop.csv").equals(expected)
    code = "import motet, sys; print(motet.load(sys.argv[1]).predict('shop.csv').column('price').to_pylist())"
    done = subprocess.run(
        [sys.executable, "-c", f"import torch; torch.set_num_threads(1); {code}", str(tmp_path / "model")],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(done.stdout) == expected.column("price").to_pylist()


def test_evaluate_repeats_the_report(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["evaluate", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((run / "report.json").read_text())
    assert _run(["evaluate", str(run)]) == 0
    assert all(task in capsys.readouterr().out for task in ["scored on the test rows"])


def test_report_writes_the_same_page_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    assert _run(["report", str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    assert (run / "report.html").read_bytes() == before


def test_a_finished_run_is_not_resumed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = weights(run)
    assert _run(["train", "experiment.yaml", "--out", str(run), "--resume", *SMALL]) == 0
    assert "finished" in capsys.readouterr().err
    assert weights(run) == before


# --- what is absent


def test_an_input_column_that_is_missing_is_an_absent_input(run: Path, tmp_path: Path) -> None:
    rows = records(Path("shop.csv"))
    without = [{name: cell for name, cell in row.items() if name != "note"} for row in rows]
    empty = [{**row, "note": ""} for row in rows]
    model = motet.load(run)
    assert model.predict(without) == model.predict(empty)
    assert model.predict(without) != model.predict(rows)


def test_a_row_without_any_input_is_answered(run: Path, tmp_path: Path) -> None:
    Path("nothing.csv").write_text("id,age,note\nx,,\ny,41,good\nz,,\n")
    x, y, z = predicted(run, "nothing.csv", tmp_path / "out.csv")
    assert float(x["price"]) == pytest.approx(float(z["price"]), rel=1e-5)
    assert float(x["price"]) != pytest.approx(float(y["price"]), rel=1e-5)
    assert math.isfinite(float(x["price"]))


# --- what makes no difference


def test_training_twice_gives_the_same_bits(small: Callable[..., Path], one: Path) -> None:
    two = small("two")
    assert weights(one) == weights(two)
    assert (one / "log.jsonl").read_bytes() == (two / "log.jsonl").read_bytes()
    assert without_seconds(one) == without_seconds(two)


def without_seconds(run: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((run / "report.json").read_text())
    del report["training"]["seconds"]
    return report


def test_another_seed_gives_others(small: Callable[..., Path], one: Path) -> None:
    assert weights(one) != weights(small("two", training={"epochs": 2, "seed": 1}))


def test_the_order_of_inputs_and_tasks_makes_no_difference(small: Callable[..., Path], one: Path) -> None:
    document = yaml.safe_load(Path("one.yaml").read_text())
    turned = {room: dict(reversed(document[room].items())) for room in ("inputs", "tasks")}
    two = small("two", **turned)
    assert next(iter(yaml.safe_load((two / "experiment.yaml").read_text())["tasks"])) == "price"
    assert weights(one) == weights(two)
    assert (one / "log.jsonl").read_bytes() == (two / "log.jsonl").read_bytes()
    assert without_seconds(one) == without_seconds(two)


def test_the_resolved_experiment_trains_the_same(one: Path, tmp_path: Path, run: Path) -> None:
    shutil.copy(one / "experiment.yaml", "resolved.yaml")
    assert weights(motet.fit("resolved.yaml", out=tmp_path / "again").folder) == weights(one)


def test_python_trains_the_same_as_yaml(small: Callable[..., Path]) -> None:
    one = small("yaml", inputs={"age": "number", "shop": "category"}, tasks={"price": "regression"})
    experiment = motet.Experiment(
        data={"train": "shop.csv", "valid": 0.2, "test": 0.2},
        inputs={"age": motet.inputs.Number(), "shop": motet.inputs.Category()},
        tasks={"price": motet.tasks.Regression()},
        fusion=motet.fusion.Concat(width=8),
        sharing=motet.sharing.Hard(width=8),
        training={"epochs": 2},
    )
    assert weights(motet.fit(experiment, out=one.parent / "python").folder) == weights(one)


def test_a_table_in_memory_trains_the_same(one: Path, tmp_path: Path, run: Path) -> None:
    document = yaml.safe_load(Path("one.yaml").read_text())
    document["data"]["train"] = records(Path("shop.csv"))
    assert weights(motet.fit(document, out=tmp_path / "memory").folder) == weights(one)


# --- how rows are divided


def test_tables_of_their_own_for_validation_and_test(small: Callable[..., Path], tmp_path: Path) -> None:
    header, *lines = Path("shop.csv").read_text().splitlines(keepends=True)
    for name, part in (("train", lines[:36]), ("valid", lines[36:48]), ("test", lines[48:])):
        Path(f"{name}.csv").write_text("".join([header, *part]))
    apart = small("apart", data={"train": "train.csv", "valid": "valid.csv", "test": "test.csv"})
    report = json.loads((apart / "report.json").read_text())
    assert report["training"]["rows"] == {"train": 36, "valid": 12, "test": 12}
    again = motet.evaluate(apart, "test.csv")
    for task in TASKS:
        assert again.content["tasks"][task]["metrics"] == report["tasks"][task]["metrics"]
    words = ["train"] * 36 + ["valid"] * 12 + ["test"] * 12
    split = [f"{line.rstrip()},{word}\n" for line, word in zip(lines, words, strict=True)]
    Path("split.csv").write_text("".join([f"{header.rstrip()},part\n", *split]))
    column = small("column", data={"train": "split.csv", "split": "part"})
    assert weights(column) == weights(apart)


def test_a_group_stays_together_and_without_test_rows_validation_is_scored(small: Callable[..., Path]) -> None:
    run = small("grouped", data={"train": "shop.csv", "valid": 0.25, "group": "owner"})
    report = json.loads((run / "report.json").read_text())
    assert report["rows_scored"] == "valid"
    rows = report["training"]["rows"]
    assert (rows["train"] + rows["valid"], rows["test"]) == (60, 0)
    assert rows["valid"] % 4 == 0, "owners have four rows each"


def test_a_task_without_labels_among_the_scored_rows_has_no_score(small: Callable[..., Path]) -> None:
    header, *lines = Path("shop.csv").read_text().splitlines(keepends=True)
    Path("train.csv").write_text("".join([header, *lines[:48]]))
    names = header.rstrip().split(",")
    blank = [dict(zip(names, line.rstrip().split(","), strict=True)) | {"price": ""} for line in lines[48:]]
    Path("test.csv").write_text("\n".join([header.rstrip(), *(",".join(row.values()) for row in blank)]) + "\n")
    run = small("unlabelled", data={"train": "train.csv", "valid": 0.2, "test": "test.csv"})
    tasks = json.loads((run / "report.json").read_text())["tasks"]
    assert tasks["price"]["rows"] == 0
    assert tasks["price"]["metrics"]["r2"]["value"] is None
    assert tasks["bought"]["metrics"]["auroc"]["value"] is not None


def test_import_is_light() -> None:
    code = "import sys, motet; print(sorted({'torch', 'pydantic', 'pyarrow', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
