"""The demo's table: the same bytes every time, holes where it says so, and no input that suffices alone."""

import csv
import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from motet.core.errors import DataError
from motet.run.demo_data import demo_experiment, make_demo_table
from motet.spec import load

INPUTS = ("scan", "tone", "word", "price", "weight")
TASKS = ("digit", "parity", "amount")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo_table(tmp_path_factory.mktemp("demo") / "data", rows=800)


@pytest.fixture(scope="module")
def rows(table: Path) -> list[dict[str, str]]:
    with open(table, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_seed_fixes_every_byte(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_demo_table(tmp_path / name, rows=20, seed=seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


def test_no_row_depends_on_how_many_there_are(tmp_path: Path) -> None:
    few, many = (make_demo_table(tmp_path / str(n), rows=n).read_text().splitlines() for n in (30, 40))
    assert [line.rsplit(",", 1)[0] for line in many[:31]] == [line.rsplit(",", 1)[0] for line in few]


def test_one_cell_in_seven_and_one_label_in_ten_is_missing(rows: list[dict[str, str]]) -> None:
    for name, share in (*dict.fromkeys(INPUTS, 0.15).items(), *dict.fromkeys(TASKS, 0.10).items()):
        assert np.mean([row[name] == "" for row in rows]) == pytest.approx(share, abs=0.04), name
    assert any(not any(row[name] for name in INPUTS[:3]) for row in rows)


def test_labels_agree_with_each_other(rows: list[dict[str, str]]) -> None:
    both = [row for row in rows if row["digit"] and row["parity"]]
    assert all(row["parity"] == ("odd" if int(row["digit"]) % 2 else "even") for row in both)
    amounts = [row for row in rows if row["digit"] and row["amount"] and row["price"]]
    residual = [float(row["amount"]) - int(row["digit"]) * float(row["price"]) - 3 for row in amounts]
    assert np.mean(residual) == pytest.approx(0, abs=0.1)
    assert np.std(residual) == pytest.approx(0.5, abs=0.05)


def test_media_are_what_the_cells_say_and_nothing_else_is_written(table: Path, rows: list[dict[str, str]]) -> None:
    named = {row[name] for row in rows for name in ("scan", "tone") if row[name]}
    written = {str(path.relative_to(table.parent)) for path in table.parent.glob("*/*")}
    assert named == written
    first = next(row for row in rows if row["scan"] and row["tone"])
    with Image.open(table.parent / first["scan"]) as picture:
        assert (picture.size, picture.mode) == ((8, 8), "L")
    samples, rate = soundfile.read(table.parent / first["tone"])
    assert (rate, len(samples)) == (8000, 3200)


def test_splits_are_70_15_15(rows: list[dict[str, str]]) -> None:
    counts = [sum(row["split"] == part for row in rows) for part in ("train", "valid", "test")]
    assert counts == [560, 120, 120]


def test_each_picture_sound_and_word_says_much_and_none_says_all(table: Path, rows: list[dict[str, str]]) -> None:
    """A strong reader of one input alone: nearest neighbours of pictures and letters, matched filters for tones."""
    readers = {"scan": scan_features, "tone": tone_features, "word": letter_pairs}
    for name, features in readers.items():
        known = [row for row in rows if row[name] and row["digit"]]
        x = np.stack([features(table.parent, row[name]) for row in known])
        y = np.array([int(row["digit"]) for row in known])
        train = np.array([row["split"] == "train" for row in known])
        assert 0.65 < nearest_neighbours(x[train], y[train], x[~train], y[~train]) < 0.97, name


def test_the_experiment_is_one_and_stands_beside_the_table(table: Path) -> None:
    experiment = load(table.parent / "experiment.yaml")
    assert experiment == load(demo_experiment())
    assert tuple(experiment.inputs) == INPUTS
    assert tuple(experiment.tasks) == TASKS


@pytest.mark.parametrize("rows", [0, 19, 1798])
def test_there_are_as_many_rows_as_digits_or_fewer(tmp_path: Path, rows: int) -> None:
    with pytest.raises(DataError, match="between 20 and 1797"):
        make_demo_table(tmp_path, rows=rows)


def scan_features(folder: Path, path: str) -> np.ndarray:
    with Image.open(folder / path) as picture:
        return np.asarray(picture, dtype=float).ravel()


def tone_features(folder: Path, path: str) -> np.ndarray:
    """The power at each of the seven frequencies of the keypad, in the better half of the recording."""
    samples, rate = soundfile.read(folder / path)
    windows = np.lib.stride_tricks.sliding_window_view(samples, rate // 5)[:: rate // 40]
    hertz = np.array([697, 770, 852, 941, 1209, 1336, 1477])
    waves = np.exp(-2j * np.pi * hertz[:, None] * np.arange(windows.shape[1]) / rate)
    power = np.abs(windows @ waves.T)
    best = power[power.sum(axis=1).argmax()]
    return np.concatenate([best[:4] / best[:4].sum(), best[4:] / best[4:].sum()])


def letter_pairs(folder: Path, word: str) -> np.ndarray:
    counts = np.zeros(27 * 27)
    letters = [0, *(ord(letter) - 96 for letter in word), 0]
    for left, right in itertools.pairwise(letters):
        counts[27 * left + right] += 1
    return counts / np.sqrt(len(letters))


def nearest_neighbours(x: np.ndarray, y: np.ndarray, new_x: np.ndarray, new_y: np.ndarray, *, k: int = 5) -> float:
    distance = (new_x**2).sum(1)[:, None] - 2 * new_x @ x.T + (x**2).sum(1)
    votes = y[np.argsort(distance, axis=1)[:, :k]]
    answers = np.array([np.bincount(row, minlength=10).argmax() for row in votes])
    return float((answers == new_y).mean())
