"""Made scenes that every kind of task has something to say about: pictures, masks, sounds, words; a part of it missing.

A scene is a square or a bar in a colour, at some place, and as many beeps as it is large; a note describes it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from PIL import Image

SIDE, RATE = 24, 4000
COLOURS = {"red": (220, 40, 40), "green": (40, 220, 40)}
TAGS = {"a": "DET", "red": "ADJ", "green": "ADJ", "square": "NOUN", "bar": "NOUN", "and": "CONJ", "beeps": "NOUN"}
TASKS: dict[str, Any] = {
    "is_red": "binary",
    "shape": "multiclass",
    "things": "multilabel",
    "level": {"kind": "ordinal", "levels": ["small", "middle", "large"]},
    "price": "regression",
    "beeps": "count",
    "liking": {"kind": "ranking", "group": "person"},
    "lifetime": {"kind": "survival", "event": "died"},
    "tags": {"kind": "tagging", "of": "note"},
    "mask": {"kind": "segmentation", "width": 8},
    "depth": {"kind": "depth", "width": 8},
    "boxes": {"kind": "detection", "width": 8, "stride": 2},
    "pair": {"kind": "matching", "between": ["photo", "note"], "width": 8},
    "caption": {"kind": "generation", "width": 16, "heads": 2, "layers": 1, "vocabulary": 280},
    "heard": {"kind": "transcription", "of": "sound", "width": 16, "unit": "word"},
    "voice": {"kind": "synthesis", "width": 16},
    "again": {"kind": "reconstruction", "of": "size"},
}


def scenes(folder: Path, *, count: int, seed: int = 0) -> Path:
    """A Parquet table of them, its media beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(seed)
    rows = [_scene(folder, number, chance) for number in range(count)]
    for row in rows[2:]:
        for name in row:
            if name not in ("person", "died", "split") and chance.random() < 0.12:
                row[name] = None
    path = folder / "scenes.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def experiment(table: Path, tasks: list[str], **changes: Any) -> dict[str, Any]:
    """A small model of these tasks on all inputs."""
    return {
        "data": {"train": str(table), "valid": 0.25},
        "inputs": {
            "photo": {"kind": "image", "size": [SIDE, SIDE], "width": 12, "first": 8},
            "sound": {"kind": "audio", "width": 12, "channels": 12, "mels": 16},
            "note": {"kind": "text", "width": 12, "vocabulary": 280},
            "size": {"kind": "number", "width": 8},
        },
        "tasks": {name: TASKS[name] for name in tasks},
        "fusion": {"kind": "concat", "width": 16},
        "sharing": {"kind": "hard", "width": 16},
        "training": {"epochs": 3, "batch_size": 12, "learning_rate": 3e-3, "patience": None},
    } | changes


def _scene(folder: Path, number: int, chance: np.random.Generator) -> dict[str, Any]:
    colour, square = sorted(COLOURS)[number % 2], bool(chance.random() < 0.5)
    size = int(chance.integers(1, 4))
    height, width = (4 + 2 * size, 4 + 2 * size) if square else (4, 6 + 4 * size)
    top, left = int(chance.integers(0, SIDE - height)), int(chance.integers(0, SIDE - width))
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    inside[top : top + height, left : left + width] = True
    shape = "square" if square else "bar"
    words = ["a", colour, shape, "and", "beeps"]
    return {
        "photo": _picture(folder / f"{number}.png", inside, colour, chance),
        "sound": _sound(folder / f"{number}.wav", ["low", "high"][number % 2], size, chance),
        "note": words,
        "size": float(size) + 0.1 * chance.standard_normal(),
        "is_red": "yes" if colour == "red" else "no",
        "shape": shape,
        "things": [colour, shape],
        "level": ["small", "middle", "large"][size - 1],
        "price": 10.0 * size + (5 if square else 0) + chance.standard_normal(),
        "beeps": size,
        "liking": float(size),
        "person": f"p{number % 6}",
        "lifetime": float(chance.exponential(1 + size)) + 0.1,
        "died": int(chance.random() < 0.8),
        "tags": [TAGS[word] for word in words],
        "mask": _mask(folder / f"{number}-mask.png", inside, square),
        "depth": _depth(folder / f"{number}-depth.npy", inside, size),
        "boxes": json.dumps([{"label": shape, "box": [left, top, left + width, top + height]}]),
        "caption": f"{colour} {shape}",
        "heard": " ".join([["low", "high"][number % 2]] * size),
        "voice": _sound(folder / f"{number}-voice.wav", ["high", "low"][number % 2], 1, chance),
    }


def _picture(path: Path, inside: np.ndarray, colour: str, chance: np.random.Generator) -> str:
    pixels = chance.integers(0, 60, (SIDE, SIDE, 3)).astype(np.uint8)
    pixels[inside] = COLOURS[colour]
    Image.fromarray(pixels).save(path)
    return path.name


def _mask(path: Path, inside: np.ndarray, square: bool) -> str:
    Image.fromarray(np.where(inside, 1 if square else 2, 0).astype(np.uint8)).save(path)
    return path.name


def _depth(path: Path, inside: np.ndarray, size: int) -> str:
    np.save(path, np.where(inside, 1.0 + size, 8.0).astype(np.float32))
    return path.name


def _sound(path: Path, pitch: str, count: int, chance: np.random.Generator) -> str:
    time = np.arange(int(0.12 * RATE)) / RATE
    beep = np.sin(2 * np.pi * {"low": 300, "high": 900}[pitch] * time) * np.hanning(len(time))
    pause = np.zeros(int(0.06 * RATE))
    samples = np.concatenate([part for _ in range(count) for part in (beep, pause)])
    soundfile.write(path, (0.5 * samples + 0.01 * chance.standard_normal(len(samples))).astype(np.float32), RATE)
    return path.name
