"""From a table without labels to a model: pretrained, then trained from there, by the command line."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import motet
from motet.artifact import read_bundle

INPUTS = {
    "photo": {"kind": "image", "first": 4, "width": 8},
    "note": {"kind": "text", "vocabulary": 280, "width": 8},
    "age": {"kind": "number", "bins": 4, "width": 8},
}
LABELS = ["bought", "colour", "tags", "price"]


@pytest.fixture
def shop(tmp_path: Path, make_shop: Callable[..., Path], write_experiment: Any) -> Path:
    make_shop(tmp_path / "shop", rows=40)
    return Path(write_experiment(tmp_path / "shop", inputs=INPUTS, training={"epochs": 1, "batch_size": 16}))


def without_labels(table: Path) -> None:
    lines = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [name for name in lines[0] if name not in LABELS], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(lines)


def test_from_no_label_to_a_model(shop: Path, motet_command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop.parent)
    whole = Path("shop.csv").read_bytes()
    without_labels(Path("shop.csv"))
    code, out, err = motet_command("pretrain", "experiment.yaml", "--out", "pre")
    assert code == 0, err
    assert "matching of note and photo" in out
    assert motet_command("pretrain", "experiment.yaml", "--out", "pre")[0] == 2
    assert "nothing to resume" in motet_command("pretrain", "experiment.yaml", "--out", "pre", "--resume")[2]
    model = motet.load("pre")
    found = model.search([{"note": "good red"}], [{"photo": "media/1.png"}, {"photo": "media/2.png"}], k=1)
    assert len(found) == 1

    Path("shop.csv").write_bytes(whole)
    code, out, err = motet_command("train", "experiment.yaml", "--out", "run", "--set", "training.init_from=pre")
    assert code == 0, err
    folder = shop.parent.resolve() / "pre"
    assert f"taken from {folder}: inputs age, note, photo, fusion (2 of 2 tensors), trunk (4 of 4 tensors)" in err
    assert "afresh: the heads of bought, colour, price, tags" in err
    assert set(json.loads(Path("run/report.json").read_text())["tasks"]) == set(LABELS)
    shutil.rmtree("pre")
    assert motet_command("predict", "run", "--data", "shop.csv", "-o", "answers.csv")[0] == 0


def test_the_folder_is_named_after_the_experiment(
    shop: Path, motet_command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop.parent)
    assert motet_command("pretrain", "experiment.yaml", "--set", "training.epochs=1")[0] == 0
    assert (shop.parent / "runs" / "experiment-pretrained" / "bundle").is_dir()


def test_pictures_of_one_camera_help_to_read_those_of_another(
    shop: Path, motet_command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transfer across names: `photo` there is `infrared` here; how pictures are scaled comes along."""
    monkeypatch.chdir(shop.parent)
    assert motet_command("pretrain", "experiment.yaml", "--out", "pre")[0] == 0
    start = "training.init_from={run: pre, inputs: {infrared: photo}}"
    camera = "inputs={infrared: {kind: image, column: photo, first: 4, width: 8}, shop: category}"
    code, _, err = motet_command("train", "experiment.yaml", "--out", "run", "--set", camera, "--set", start)
    assert code == 0, err
    assert "input infrared (there photo)" in err
    assert "afresh: input shop, " in err
    there, here = (read_bundle(Path(name) / "bundle").preparations for name in ("pre", "run"))
    assert here["infrared"]["mean"] == there["photo"]["mean"]


def test_an_input_that_is_wider_than_it_was(shop: Path, motet_command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop.parent)
    assert motet_command("pretrain", "experiment.yaml", "--out", "pre")[0] == 0
    words = ("--set", "training.init_from=pre", "--set", "inputs.photo.width=16")
    code, out, err = motet_command("train", "experiment.yaml", "--out", "run", *words)
    assert (code, out) == (2, "")
    assert "inputs.photo.width: found 16, but expected 8" in err
    assert not Path("run").exists()
