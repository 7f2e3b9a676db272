"""A small shop: a table with every kind of input and task, holes in it, and a folder for it all."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from PIL import Image

from motet.cli import _run

COLOURS = ("red", "green", "blue")
SHOPS = ("north", "south", "harbour")
INPUTS = {
    "photo": {"kind": "image", "first": 4, "width": 8},
    "tone": {"kind": "audio", "channels": 4, "blocks": 1, "width": 8},
    "note": {"kind": "text", "vocabulary": 280, "width": 8},
    "age": {"kind": "number", "bins": 4, "width": 8},
    "shop": {"kind": "category", "width": 8},
    "el": {"kind": "vector", "columns": "el_*", "width": 8},
}
TASKS = {"bought": "binary", "colour": "multiclass", "tags": "multilabel", "price": "regression"}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own for every test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MOTET_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def make_shop() -> Callable[..., Path]:
    """`make_shop(folder, rows=60, seed=0)` writes shop.csv with its pictures and sounds; the path of the table."""
    return write_shop


@pytest.fixture(scope="session")
def write_experiment() -> Callable[..., Path]:
    """`write_experiment(folder, inputs=..., tasks=..., **rooms)` writes experiment.yaml over shop.csv."""
    return experiment_file


@pytest.fixture
def motet_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`motet_command("train", ...)` -> exit code, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = _run([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def write_shop(folder: Path, *, rows: int = 60, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(seed)
    lines = [_row(folder, number, chance) for number in range(rows)]
    for row in range(3, rows, 7):  # a row in seven lacks an input, another one a label
        lines[row][list(INPUTS)[row % 5]] = ""
        lines[row - 2][list(TASKS)[row % 4]] = ""
    return write_rows(folder / "shop.csv", lines)


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def experiment_file(folder: Path, *, name: str = "experiment.yaml", **rooms: object) -> Path:
    document = {"data": {"train": "shop.csv", "valid": 0.2, "test": 0.2}, "inputs": INPUTS, "tasks": TASKS}
    small = {"fusion": {"kind": "concat", "width": 8}, "sharing": {"kind": "hard", "width": 8}}
    path = folder / name
    path.write_text(yaml.safe_dump(document | small | {"training": {"epochs": 2}} | rooms, sort_keys=False))
    return path


def _row(folder: Path, number: int, chance: np.random.Generator) -> dict[str, object]:
    bought, colour = number % 2, number % 3
    photo, tone = f"media/{number}.png", f"media/{number}.wav"
    (folder / "media").mkdir(exist_ok=True)
    pixels = chance.integers(0, 100, (8, 8), dtype=np.uint8) + np.uint8(100 * bought)
    Image.fromarray(pixels).save(folder / photo)
    wave = np.sin(np.arange(int(chance.integers(400, 900))) * (0.1 + 0.2 * colour)) / 2
    soundfile.write(folder / tone, wave, 8000)
    place = chance.normal(size=8).round(3)
    return {
        "id": f"r{number:03d}",
        "photo": photo,
        "tone": tone,
        "note": " ".join(chance.choice(["good", "bad", "late", COLOURS[colour]], size=int(chance.integers(1, 5)))),
        "age": round(float(chance.normal(40, 10)), 1),
        "shop": SHOPS[int(chance.integers(3))],
        **{f"el_{at}": value for at, value in enumerate(place)},
        "bought": ["no", "yes"][bought],
        "colour": COLOURS[colour],
        "tags": "|".join(tag for tag, on in (("new", bought), ("sale", colour == 0), ("old", True)) if on),
        "price": round(10 + 5 * colour + float(chance.normal()), 2),
        "owner": f"o{number // 4}",
    }
