"""Videos, two tables for which no single frame suffices.

moving: clips made here, seen and heard from one file (MPEG-4 and AAC in MP4). A shape drifts over a torus in one of
four directions from a place drawn by chance, so that a frame by itself tells nothing of it; a tone has one of four
pitches; `both` is whether the drift is sideways exactly where the tone is one of the higher two. 800 clips train, 150
validate, 400 test.

camvid: how fast does a drive go by, and are its frames in order? (Misra et al., Shuffle and Learn, ECCV 2016.) Four
frames, a second from one to the next, as they were seen, or as the third, first, fourth, second; each clip is there in
both orders, so that chance is .5, and a bag of the frames tells nothing. `change` is the log of the mean difference of
brightness between frames that follow each other. Whole streets are held out: 0001TP and 0016E5 train, 0006R0 validates,
Seq05VD tests. Clips of the last two do not overlap.

Options were chosen on the validation rows; the test rows are read once, by seed 0. One thread.

    python benchmarks/inputs_video.py [--valid] [--table camvid] [--seeds 0] [--minutes 8] [--set training.epochs=2]
"""

import argparse
import csv
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image

import motet
import study

COUNTS = {"train": 800, "valid": 150, "test": 400}
STREETS = {"0001TP": "train", "0016E5": "train", "0006R0": "valid", "Seq05VD": "test"}
STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))
PITCHES = (440, 554, 659, 831)
SIDE, FRAMES, RATE, HERTZ = 32, 8, 8, 8000
CLIP, MIXED = 4, (2, 0, 3, 1)
CHANCE = {"direction": 0.25, "pitch": 0.25, "both": 0.5, "ordered": 0.5, "change": 0}
METRIC = {"change": "r2"}
"""Of a task; accuracy of the others."""
TRAINING = {"batch_size": 32, "schedule": "cosine", "average": 0.95, "patience": None, "workers": 0}
SIDES: dict[str, dict[str, Any]] = {
    "cnn2d": {"encoder": "cnn2d"},
    "cnn3d": {"encoder": "cnn3d"},
    "one frame": {"encoder": "cnn2d", "frames": 1},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--valid", action="store_true", help="score the validation rows; the test rows are not read")
    parser.add_argument("--table", choices=("moving", "camvid"), nargs="+", default=["moving", "camvid"])
    parser.add_argument("--side", choices=SIDES, nargs="+", default=list(SIDES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="no model is begun after so much processor time")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a change to the experiment")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    made = {"moving": (moving, moving_experiment), "camvid": (drives, drives_experiment)}
    with tempfile.TemporaryDirectory() as place:
        for name in arguments.table:
            folder = Path(place) / name
            folder.mkdir()
            write, experiment = made[name]
            table = write(folder)
            found = [
                (side, scores(experiment(table, side, seed, valid=arguments.valid), folder, arguments.set))
                for side, seed in itertools.product(arguments.side, arguments.seeds)
                if time.process_time() < 60 * arguments.minutes
            ]
            print_table(name, found)
    print(f"\n{time.process_time() / 60:.1f} minutes of one core")


def scores(experiment: dict[str, Any], folder: Path, changes: list[str]) -> dict[str, Any]:
    """By task, its score and interval; and the minutes it took."""
    begun = time.process_time()
    with tempfile.TemporaryDirectory(dir=folder) as run:
        report = motet.fit(experiment, out=Path(run) / "run", changes=changes).report
        print(report.to_text(), flush=True)
    return {task: report[task][METRIC.get(task, "accuracy")] for task in experiment["tasks"]} | {
        "minutes": (time.process_time() - begun) / 60
    }


def print_table(name: str, found: list[tuple[str, dict[str, Any]]]) -> None:
    tasks = [task for task in found[0][1] if task != "minutes"]
    heads = [f"{task}, {METRIC.get(task, 'accuracy')} (chance {CHANCE[task]})" for task in tasks]
    print(f"\n| {name} | {' | '.join(heads)} | minutes |")
    print(f"|---|{'---|' * (len(tasks) + 1)}")
    for side in dict.fromkeys(side for side, _ in found):
        runs = [one for other, one in found if other == side]
        cells = []
        for task in tasks:
            each = ", ".join(f"{one[task].value:.3f}" for one in runs)
            mean = np.mean([one[task].value for one in runs])
            cells.append(f"{mean:.3f} ({each}; first {runs[0][task].low:.3f} to {runs[0][task].high:.3f})")
        minutes = np.mean([one["minutes"] for one in runs])
        print(f"| {side} | {' | '.join(cells)} | {minutes:.2f} |", flush=True)


def moving_experiment(table: Path, side: str, seed: int, *, valid: bool) -> dict[str, Any]:
    """Sight and sound of one file, to three answers."""
    return {
        "data": {"train": scored(table, valid=valid), "split": "split", "root": str(table.parent)},
        "inputs": {
            "clip": {"kind": "video", "first": 8, "width": 32, "crop": 0.0, **SIDES[side]},
            "sound": {"kind": "audio", "column": "clip", "channels": 16, "width": 32},
        },
        "tasks": {task: {"kind": "multiclass", "metric": "accuracy"} for task in ("direction", "pitch", "both")},
        "training": TRAINING | {"epochs": 12, "learning_rate": 3e-3, "seed": seed},
    }


def drives_experiment(table: Path, side: str, seed: int, *, valid: bool) -> dict[str, Any]:
    """Four frames, to whether they are in order, and how much changes from one to the next."""
    return {
        "data": {"train": scored(table, valid=valid), "split": "split", "root": str(study.data_folder() / "camvid")},
        "inputs": {"clip": {"kind": "video", "size": [36, 48], "flip": True, "first": 8, "width": 32, **SIDES[side]}},
        "tasks": {"ordered": {"kind": "multiclass", "metric": "accuracy"}, "change": "regression"},
        "training": TRAINING | {"epochs": 10, "learning_rate": 3e-3, "seed": seed},
    }


def scored(table: Path, *, valid: bool) -> str:
    """The table, or with `valid` one without its test rows, whose validation rows are then scored."""
    if not valid:
        return str(table)
    rows = [row for row in table.read_text("utf-8").splitlines() if json.loads(row)["split"] != "test"]
    kept = table.with_name("valid.jsonl")
    kept.write_text("\n".join(rows), "utf-8")
    return str(kept)


def moving(folder: Path) -> Path:
    """The table of clips, the same every time."""
    chance, rows = np.random.default_rng(1), []
    for split, count in COUNTS.items():
        for number in range(count):
            direction, pitch = int(chance.integers(4)), int(chance.integers(4))
            name = f"{split}{number}.mp4"
            film(folder / name, drift(direction, chance), tone(pitch, chance))
            both = int((direction < 2) == (pitch >= 2))
            rows.append({"clip": name, "direction": direction, "pitch": pitch, "both": both, "split": split})
    return written(folder, rows)


def drives(folder: Path) -> Path:
    """The table of clips of the streets, each in both orders."""
    data, rows = study.data_folder() / "camvid", []
    with open(data / "manifest.csv", encoding="utf-8", newline="") as file:
        frames = sorted(
            csv.DictReader(file), key=lambda row: (row["sequence"], int("".join(filter(str.isdigit, row["frame"]))))
        )
    for street, split in STREETS.items():
        paths = [str(data / row["image"]) for row in frames if row["sequence"] == street]
        for start in range(0, len(paths) - CLIP + 1, 1 if split == "train" else CLIP):
            clip = paths[start : start + CLIP]
            mixed = [clip[place] for place in MIXED]
            rows += [
                {"clip": one, "ordered": int(one is clip), "change": change(one), "split": split}
                for one in (clip, mixed)
            ]
    return written(folder, rows)


def change(clip: list[str]) -> float:
    """The log of how much brightness, from 0 to 255, differs at a place from one frame to the next, in the mean."""
    seen = np.stack([np.asarray(Image.open(path).convert("L").resize((48, 36)), dtype=np.float64) for path in clip])
    return float(np.log(np.abs(np.diff(seen, axis=0)).mean()))


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    table = folder / "table.jsonl"
    table.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return table


def drift(direction: int, chance: np.random.Generator) -> np.ndarray:
    """A bright square or disc on a dark ground, a step of two to three pixels from frame to frame."""
    place, step = chance.uniform(0, SIDE, size=2), chance.uniform(2, 3) * np.array(STEPS[direction])
    radius, disc = chance.uniform(4, 7), bool(chance.integers(2))
    colours = chance.integers(0, 96, size=(2, 3)) + np.array([[160], [0]])
    axis, clip = np.arange(SIDE), np.empty((FRAMES, SIDE, SIDE, 3), dtype=np.uint8)
    for number in range(FRAMES):
        away = [np.abs((axis - one + SIDE / 2) % SIDE - SIDE / 2) for one in place + number * step]
        rows, columns = away[0][:, None], away[1][None]
        inside = np.hypot(rows, columns) < radius if disc else np.maximum(rows, columns) < radius
        noise = chance.normal(0, 6, size=(SIDE, SIDE, 3))
        clip[number] = np.clip(np.where(inside[..., None], colours[0], colours[1]) + noise, 0, 255)
    return clip


def tone(pitch: int, chance: np.random.Generator) -> np.ndarray:
    """A tone of two harmonics, a little out of tune, in noise."""
    hertz = PITCHES[pitch] * 2 ** chance.uniform(-1 / 24, 1 / 24)
    seconds = np.arange(HERTZ * FRAMES // RATE) / HERTZ
    wave = sum(np.sin(2 * np.pi * part * hertz * seconds + chance.uniform(0, 7)) / part for part in (1, 2))
    return np.asarray(0.2 * wave + chance.normal(0, 0.1, size=seconds.shape), dtype=np.float32)


def film(path: Path, clip: np.ndarray, sound: np.ndarray) -> None:
    """Both in one file."""
    with av.open(str(path), "w") as file:
        pictures, track = file.add_stream("mpeg4", rate=RATE), file.add_stream("aac", rate=HERTZ, layout="mono")
        (pictures.height, pictures.width), pictures.pix_fmt, pictures.bit_rate = clip.shape[1:3], "yuv420p", 400_000
        pictures.codec_context.thread_count = 1
        for frame in clip:
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(pictures.encode())
        block = av.AudioFrame.from_ndarray(sound[None], format="flt", layout="mono")
        block.sample_rate, block.pts = HERTZ, 0
        file.mux([*track.encode(block), *track.encode()])


if __name__ == "__main__":
    main()
