"""Masks and depth through the whole path: they vary as their picture does; train, resume, predict, evaluate."""

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image

import motet
from motet.cli import _run
from motet.core.errors import SpecError
from motet.media import plane
from motet.run.prepare import Prepared, prepare
from motet.spec import load
from motet.training import Quiet

SIZE = (12, 16)
NO_PICTURE, NO_MASK, NO_DEPTH = 5, 6, 7


def mask_of(number: int) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=np.uint8)
    mask[2 + number % 5 : 7 + number % 5, number % 7 : 6 + number % 7] = 1
    mask[-2:, 3:] = 2
    return mask


def save(path: Path, numbers: np.ndarray) -> str:
    Image.fromarray(numbers).save(path)
    return path.name


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A table whose pictures say their masks: grey 100 times the class."""
    folder = tmp_path_factory.mktemp("place")
    rows = []
    for number in range(30):
        mask = mask_of(number)
        rows.append(
            {
                "photo": "" if number == NO_PICTURE else save(folder / f"photo{number}.png", 100 * mask),
                "mask": "" if number == NO_MASK else save(folder / f"mask{number}.png", mask),
                "depth": "" if number == NO_DEPTH else save(folder / f"d{number}.png", (mask + 1).astype(np.uint16)),
                "part": ["train", "train", "valid", "test", "train"][number % 5],
            }
        )
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTET_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        yield folder


def experiment(**photo: Any) -> dict[str, Any]:
    return {
        "data": {"train": "table.csv", "split": "part"},
        "inputs": {"photo": {"kind": "image", "size": list(SIZE), "first": 4, "width": 8, "drop": 0.0, **photo}},
        "tasks": {"mask": {"kind": "segmentation", "width": 8}, "depth": {"kind": "depth", "width": 8}},
        "fusion": {"kind": "concat", "width": 8},
        "sharing": {"kind": "hard", "width": 8},
        "training": {"epochs": 3, "batch_size": 6, "learning_rate": 0.02, "patience": None},
    }


def prepared(place: Path, **photo: Any) -> Prepared:
    return prepare(load(experiment(**photo)), base=place, progress=Quiet())


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("crop", [0.0, 0.4])
def test_masks_and_depth_follow_their_picture_exactly(place: Path, crop: float, flip: bool) -> None:
    made = prepared(place, crop=crop, flip=flip)
    reader = made.fitted.inputs["photo"][1]
    rows = np.arange(30)
    seen = set()
    for epoch in (None, 0, 1, 2):
        batch = made.dataset.batch(rows, epoch=epoch)
        pixels = batch.inputs["photo"].values["pixels"][:, 0] * reader.deviation[0] + reader.mean[0]  # type: ignore[attr-defined]
        mask, depth = batch.targets["mask"], batch.targets["depth"]
        assert mask.present.tolist() == [row not in (NO_PICTURE, NO_MASK) for row in range(30)]
        assert depth.present.tolist() == [row not in (NO_PICTURE, NO_DEPTH) for row in range(30)]
        for row in range(30):
            if mask.present[row]:
                torch.testing.assert_close(100.0 * mask.values["target"][row], pixels[row], atol=1e-3, rtol=0)
            if depth.present[row]:
                torch.testing.assert_close(100 * (depth.values["target"][row] - 1), pixels[row], atol=1e-3, rtol=0)
        seen.add(mask.values["target"].numpy().tobytes())
    assert len(seen) == (4 if crop or flip else 1)


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    """A finished run, with a checkpoint of every epoch while it went on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("motet.training.loop.LONGEST_GAP", -1.0)
        return motet.fit(experiment(crop=0.2, flip=True), out=place / "runs" / "whole").folder


def test_a_run_that_stopped_goes_on_to_the_same_weights(place: Path, run: Path) -> None:
    stopped = shutil.copytree(run, place / "runs" / "stopped")
    (stopped / "report.json").unlink()
    shutil.rmtree(stopped / "bundle")
    shutil.rmtree(sorted((stopped / "checkpoints").iterdir())[-1])
    motet.fit(experiment(crop=0.2, flip=True), out=stopped, resume=True)
    weights = "bundle/weights.safetensors"
    assert (stopped / weights).read_bytes() == (run / weights).read_bytes()


def test_answers_in_every_format_are_the_same_and_of_the_size_of_the_picture(place: Path, run: Path) -> None:
    model = motet.load(run)
    answers = model.predict("table.csv").to_pylist()
    assert answers[NO_PICTURE]["mask"] is None
    assert answers[NO_PICTURE]["depth"] is None
    assert answers[0]["mask__classes"][0] == "0"
    for name in ("csv", "parquet", "jsonl"):
        assert _run(["predict", str(run), "--data", "table.csv", "--output", f"said.{name}"]) == 0
    assert parquet.read_table("said.parquet").to_pylist() == answers
    with open("said.csv", newline="") as file:
        assert next(csv.DictReader(file))["mask"].startswith("data:image/png;base64,")
    large = io.BytesIO()
    Image.fromarray(np.kron(100 * mask_of(0), np.ones((3, 2), np.uint8))).save(large, "PNG")
    said = model.predict([{"photo": large.getvalue()}])[0]
    assert plane(said["mask"]).shape == plane(said["depth"]).shape == (36, 32)


def test_answers_are_labels_for_another_table(place: Path, run: Path) -> None:
    """What a run says, held against itself, is right everywhere it answered."""
    assert _run(["predict", str(run), "--data", "table.csv", "--output", "labels.csv"]) == 0
    with open("labels.csv", newline="") as said, open("table.csv", newline="") as given:
        rows = [{**a, "photo": b["photo"]} for a, b in zip(csv.DictReader(said), csv.DictReader(given), strict=True)]
    with open("again.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["photo", "mask", "depth"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    scores = motet.evaluate(run, "again.csv").content["tasks"]
    assert scores["mask"]["metrics"]["miou"]["value"] == 1.0
    assert scores["depth"]["metrics"]["delta1"]["value"] == 1.0
    assert scores["mask"]["rows"] == 29


def test_a_run_knows_the_trivial_baseline_and_is_held_against_it(run: Path) -> None:
    priors = motet.load(run).facts["priors"]
    assert len(priors["mask"]) == 3
    assert isinstance(priors["depth"], float)
    scores = motet.evaluate(run, "table.csv").content["tasks"]
    assert scores["mask"]["baseline"]["pixel_accuracy"] == pytest.approx(
        np.mean([mask_of(row) == 0 for row in range(30) if row not in (NO_PICTURE, NO_MASK)])
    )


def test_pictures_in_bags_are_refused_by_name(place: Path) -> None:
    document = experiment()
    document["inputs"]["photo"] |= {"columns": ["photo", "mask"]}
    document["tasks"] = {"depth": "depth"}
    with pytest.raises(SpecError, match=r"tasks\.depth.*the rows of 'photo' have several pictures"):
        motet.fit(document, out=place / "runs" / "bag")
