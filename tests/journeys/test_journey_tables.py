"""Two tables in folders of their own, with other columns, inputs and tasks: one model by every verb."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import motet
from motet.data import read_answers

Command = Callable[..., tuple[int, str, str]]
DOCUMENT: dict[str, Any] = {
    "data": {
        "train": [
            "shop/rows.csv",
            {
                "table": "zoo/rows.jsonl",
                "name": "zoo",
                "rename": {"picture": "photo", "words": "note"},
                "split": "fold",
            },
        ],
        "valid": 0.2,
        "test": 0.2,
        "sampling": "equal",
        "weight": "sure",
        "resample": "kind",
    },
    "inputs": {
        "photo": {"kind": "image", "first": 4, "width": 8},
        "note": {"kind": "text", "vocabulary": 270, "width": 8},
        "age": {"kind": "number", "width": 8},
    },
    "tasks": {"sold": "binary", "kind": "multiclass", "tags": "multilabel"},
    "fusion": {"kind": "concat", "width": 8},
    "sharing": {"kind": "hard", "width": 8},
    "training": {"epochs": 2, "batch_size": 16},
}


def write_tables(folder: Path) -> None:
    chance = np.random.default_rng(0)
    for name in ("shop", "zoo"):
        (folder / name / "media").mkdir(parents=True)
    shop, zoo = [], []
    for row in range(40):
        for name in ("shop", "zoo"):
            pixels = chance.integers(0, 100, (8, 8), dtype=np.uint8) + np.uint8(100 * (row % 2))
            Image.fromarray(pixels).save(folder / name / "media" / f"{row}.png")
        note = " ".join(chance.choice(["good", "bad", "late", "red"], size=3))
        photo = f"media/{row}.png" if row % 5 else ""
        shop.append(
            {"photo": photo, "note": note, "age": row % 9, "sold": ["no", "yes"][row % 2], "sure": [1, 2, ""][row % 3]}
        )
    for row in range(32):
        fold = "valid" if row % 8 == 3 else "test" if row % 8 == 5 else "train"
        kind = ["bird", "cat", "cat", "cat"][row % 4]
        tags = ["big|old", "small"] if row % 2 else []
        zoo.append({"picture": f"media/{row}.png", "words": f"a {kind}", "kind": kind, "tags": tags, "fold": fold})
    with (folder / "shop" / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(shop[0]))
        writer.writeheader()
        writer.writerows(shop)
    (folder / "zoo" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in zoo))
    (folder / "experiment.yaml").write_text(yaml.safe_dump(DOCUMENT, sort_keys=False))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables, and a run that was trained from another folder than theirs."""
    folder = tmp_path_factory.mktemp("tables")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTET_CACHE", str(tmp_path_factory.mktemp("cache")))
        write_tables(folder)
        motet.fit(folder / "experiment.yaml", out=folder / "runs" / "first")
    return folder


def weights(run: Path) -> bytes:
    return (run / "bundle" / "weights.safetensors").read_bytes()


def test_check_reads_both_and_train_trains_on_both(place: Path, motet_command: Command) -> None:
    code, out, err = motet_command("check", place / "experiment.yaml")
    assert code == 0, err
    assert "72 of 72 rows read, no problem: 48 train, 12 valid, 12 test" in out
    code, out, err = motet_command("train", place / "experiment.yaml", "--out", place / "runs" / "again")
    assert code == 0, err
    assert weights(place / "runs" / "again") == weights(place / "runs" / "first")


def test_the_resolved_experiment_is_the_same_experiment_anywhere(
    place: Path, tmp_path: Path, motet_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (place / "runs" / "first" / "experiment.yaml").read_text()
    (tmp_path / "resolved.yaml").write_text(text)
    train = yaml.safe_load(text)["data"]["train"]
    assert [Path(one["table"]) for one in train] == [place / "shop" / "rows.csv", place / "zoo" / "rows.jsonl"]
    assert [one["name"] for one in train] == ["rows", "zoo"]
    monkeypatch.chdir(tmp_path)
    assert motet_command("train", "resolved.yaml", "--out", "run")[0] == 0
    assert weights(tmp_path / "run") == weights(place / "runs" / "first")


def test_a_stopped_run_is_resumed(
    place: Path, tmp_path: Path, motet_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("motet.training.loop.LONGEST_GAP", -1.0)  # a checkpoint after every step
    run = tmp_path / "run"
    assert motet_command("train", place / "experiment.yaml", "--out", run)[0] == 0
    newest = sorted((run / "checkpoints").iterdir())[-1]
    for file in sorted(newest.iterdir()):
        file.unlink()
    newest.rmdir()
    (run / "report.json").unlink()
    (run / "bundle" / "weights.safetensors").unlink()
    code, _, err = motet_command("train", place / "experiment.yaml", "--out", run, "--resume")
    assert code == 0, err
    assert '"resumed_at"' in (run / "log.jsonl").read_text()
    assert weights(run) == weights(place / "runs" / "first")
    code, _, err = motet_command(
        "train", place / "experiment.yaml", "--out", run, "--resume", "--set", "data.sampling=size"
    )
    assert code == 0, "a finished run says so"


def test_scores_by_table_are_in_log_report_and_page(place: Path) -> None:
    run = place / "runs" / "first"
    line = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines() if '"valid"' in line][-1]
    assert {name: set(tasks) for name, tasks in line["tables"].items()} == {"rows": {"sold"}, "zoo": {"kind", "tags"}}
    tasks = json.loads((run / "report.json").read_text())["tasks"]
    assert {name: list(one["tables"]) for name, one in tasks.items()} == {
        "sold": ["rows"],
        "kind": ["zoo"],
        "tags": ["zoo"],
    }
    assert "<h3>By table</h3>" in (run / "report.html").read_text()


def test_a_name_that_the_model_does_not_read_is_refused(place: Path, tmp_path: Path, motet_command: Command) -> None:
    run, out = place / "runs" / "first", tmp_path / "out.csv"
    typo = ("--rename", "picture=phto")
    code, _, err = motet_command("predict", run, "--data", place / "zoo" / "rows.jsonl", "-o", out, *typo)
    assert code == 2
    assert "'picture' is renamed to 'phto', which this model does not read; did you mean 'photo'?" in err
    assert not out.exists()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_predict_answers_each_table(place: Path, tmp_path: Path, motet_command: Command, suffix: str) -> None:
    run, out = place / "runs" / "first", tmp_path / f"out.{suffix}"
    assert motet_command("predict", run, "--data", place / "shop" / "rows.csv", "-o", out)[0] == 0
    names = ("--rename", "picture=photo", "--rename", "words=note")
    code, _, err = motet_command("predict", run, "--data", place / "zoo" / "rows.jsonl", "-o", out, "--force", *names)
    assert code == 0, err
    assert "note: input 'age' is absent" in err
    answers = read_answers(out, {"tags": "labels", "kind": "text", "sold__probability": "number"})
    expected = motet.load(run).predict(
        {"table": place / "zoo" / "rows.jsonl", "rename": {"picture": "photo", "words": "note"}}
    )
    for answer, other in zip(answers, expected.to_pylist(), strict=True):
        assert set(answer["tags"]) <= {"big|old", "small"}
        assert answer["tags"] == other["tags"]
        assert answer["kind"] == other["kind"]
        assert answer["sold__probability"] == other["sold__probability"]


def test_predictions_are_labels_again(place: Path, tmp_path: Path, motet_command: Command) -> None:
    """A CSV of answers, with sets that are empty and labels that hold the separator, scores perfectly as the truth."""
    run = place / "runs" / "first"
    zoo = place / "zoo" / "rows.jsonl"
    names = ("--rename", "picture=photo", "--rename", "words=note")
    assert motet_command("predict", run, "--data", zoo, "-o", tmp_path / "out.csv", *names)[0] == 0
    answers = read_answers(tmp_path / "out.csv", {})
    rows = [json.loads(line) for line in zoo.read_text().splitlines()]
    with (place / "zoo" / "truth.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "words", "kind", "tags"])
        for row, one in zip(rows, answers, strict=True):
            writer.writerow([row["picture"], row["words"], one["kind"], one["tags"]])
    code, out, err = motet_command("evaluate", run, "--data", place / "zoo" / "truth.csv", "--json", *names)
    assert code == 0, err
    tasks = json.loads(out)["tasks"]
    assert tasks["kind"]["metrics"]["accuracy"]["value"] == 1
    hamming = tasks["tags"]["metrics"]["hamming"]
    assert hamming["value"] == float(hamming["higher_is_better"])
    assert tasks["tags"]["rows"] == len(rows)


def test_mistakes_are_told_with_exit_code_2(place: Path, tmp_path: Path, motet_command: Command) -> None:
    experiment = place / "experiment.yaml"
    for change, said in (
        ("data.train=[shop/rows.csv, {table: zoo/rows.jsonl, rename: {pictur: photo}}]", "did you mean 'picture'?"),
        ("data.train=[shop/rows.csv, {table: zoo/rows.json}]", "no such file; did you mean 'rows.jsonl'?"),
        ("data.sampling={rows: 1}", "data.sampling: table 'zoo' is not among rows"),
        ("data.sampling={rows: -1}", "data.sampling"),
        ("data.resample=tags", "data.resample: 'tags' is multilabel"),
    ):
        code, _, err = motet_command("check", experiment, "--set", change)
        assert (code, said in err) == (2, True), err
    (place / "zoo" / "bad.jsonl").write_text(
        (place / "zoo" / "rows.jsonl").read_text().replace('"media/1.png"', '"media/none.png"')
    )
    train = "data.train=[shop/rows.csv, {table: zoo/bad.jsonl, rename: {picture: photo, words: note}, split: fold}]"
    code, out, _ = motet_command("check", experiment, "--set", train)
    assert code == 2
    assert "zoo/bad.jsonl:2:picture: no such file" in out
