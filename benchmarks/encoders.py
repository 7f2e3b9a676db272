"""P5 and the costs of reading: kept states of a frozen encoder, decoding and augmentation, and padding.

kept: an epoch on kept states beside one in which the frozen sentence encoder reads every text, on lines of `meld_text`;
both sides take turns epoch by epoch in one process with one thread, and must end with the same bits. decoding: cells
read, and read and varied, beside a bare loop over the decoder (Pillow, soundfile) of the same files. padding: what part
of all steps is padding, rows mixed or grouped by length, on the lines of `meld_text` and the digits of `fsdd`, and the
time of an epoch of training either way.

    python benchmarks/encoders.py [kept decoding padding] [--quick]
"""

import argparse
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import soundfile
import torch
from PIL import Image

import study
from motet import inputs
from motet.data import Order
from motet.inputs.base import InputSpec
from motet.model import Network
from motet.run.frozen import with_known_states
from motet.run.order import order_of
from motet.run.prepare import Prepared, build, prepare
from motet.spec import load
from motet.training import Quiet, build_optimizer, train_step
from tasks_meld import lines

SIDE, RATE = 256, 16_000
TARGET_KEPT, TARGET_PADDING = 10, 0.10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure; all of it when left out")
    parser.add_argument("--quick", action="store_true", help="few rows and rounds")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.parts or PARTS:
        print(f"\n## {name}")
        PARTS[name](3 if arguments.quick else 7, 128 if arguments.quick else 512)


# --- kept states


def kept(rounds: int, num_rows: int) -> None:
    """An epoch in which the frozen encoder reads, and one on what it said."""
    table = meld().slice(0, num_rows)
    sentences = {"kind": "text", "column": "utterance", "encoder": {"kind": "minilm", "output": "mean"}}
    prepared = prepare(load(experiment(table, {"line": sentences})), base=Path(), progress=Quiet())
    networks = [build(prepared.fitted), build(prepared.fitted)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MOTET_CACHE"] = folder
        begun = time.perf_counter()
        known = with_known_states(prepared, networks[0], progress=Quiet())
        print(f"making the states of {num_rows} lines, once: {time.perf_counter() - begun:.1f} s")
        begun = time.perf_counter()
        with_known_states(prepared, networks[0], progress=Quiet())
        print(f"finding them again: {time.perf_counter() - begun:.2f} s")
    sides = {"read": Epochs(prepared, networks[0]), "kept": Epochs(known, networks[1])}
    times = taking_turns({name: side.epoch for name, side in sides.items()}, rounds)
    say_ratio("read / kept", times["read"], times["kept"], f"target {TARGET_KEPT}")
    weights = [network.state_dict() for network in networks]
    same = all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    print(f"weights after {rounds + 1} epochs of either side: {'the same bits' if same else 'DIFFERENT'}")


class Epochs:
    """Trains a network epoch by epoch."""

    def __init__(self, prepared: Prepared, network: Network) -> None:
        self.prepared, self.network = prepared, network
        self.order = order_of(prepared, network)
        self.spec = prepared.fitted.experiment.training
        self.optimizer = build_optimizer(network, self.spec)
        self.done = 0

    def epoch(self) -> None:
        self.network.train()
        for place, rows in enumerate(self.order.batches(self.done)):
            batch = self.prepared.dataset.batch(rows, epoch=self.done)
            step = self.done * len(self.order) + place
            train_step(
                self.network,
                self.optimizer,
                [batch],
                priorities=dict.fromkeys(self.prepared.fitted.tasks, 1.0),
                seed=0,
                step=step,
                progress=0.5,
                clip=1.0,
                precision="float32",
            )
        self.done += 1


# --- decoding


def decoding(rounds: int, num_rows: int) -> None:
    """Reading a cell beside the decoder alone."""
    num_rows //= 4
    chance = np.random.default_rng(0)
    kinds: Mapping[str, tuple[InputSpec, list[bytes], Callable[[bytes], object]]] = {
        "PNG": (inputs.Image(flip=True, zoom=0.2, jitter=0.2), pictures("PNG", num_rows, chance), bare_picture),
        "JPEG": (inputs.Image(flip=True, zoom=0.2, jitter=0.2), pictures("JPEG", num_rows, chance), bare_picture),
        "WAV": (inputs.Audio(), sounds("WAV", num_rows, chance), bare_sound),
        "FLAC": (inputs.Audio(), sounds("FLAC", num_rows, chance), bare_sound),
    }
    generator = np.random.default_rng(0)
    print("| files | decoder alone, a second | read | read and varied | read / decoder, time (range) |")
    print("|---|---|---|---|---|")
    for name, (spec, files, bare) in kinds.items():
        preparation = spec.fit(files)

        def read(reader: Any = preparation, cells: list[bytes] = files) -> list[np.ndarray]:
            return [reader.read(cell) for cell in cells]

        def varied(reader: Any = preparation, cells: list[bytes] = files) -> list[np.ndarray]:
            return [reader.augment(reader.read(cell), generator) for cell in cells]

        def alone(decode: Callable[[bytes], object] = bare, cells: list[bytes] = files) -> list[object]:
            return [decode(cell) for cell in cells]

        times = taking_turns({"alone": alone, "read": read, "varied": varied}, rounds)
        rates = [f"{num_rows / statistics.median(times[side]):.0f}" for side in ("alone", "read", "varied")]
        ratios = [one / other for one, other in zip(times["read"], times["alone"], strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {' | '.join(rates)} | {spread} |")


def pictures(form: str, number: int, chance: np.random.Generator) -> list[bytes]:
    found = []
    for _ in range(number):
        coarse = chance.integers(0, 256, (SIDE // 16, SIDE // 16, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, form)
        found.append(file.getvalue())
    return found


def sounds(form: str, number: int, chance: np.random.Generator) -> list[bytes]:
    found = []
    for _ in range(number):
        tone = np.sin(2 * np.pi * chance.uniform(200, 2000) * np.arange(RATE) / RATE) / 2
        file = io.BytesIO()
        soundfile.write(file, tone.astype(np.float32), RATE, format=form)
        found.append(file.getvalue())
    return found


def bare_picture(data: bytes) -> object:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def bare_sound(data: bytes) -> object:
    return soundfile.read(io.BytesIO(data), dtype="float32")


# --- padding


def padding(rounds: int, num_rows: int) -> None:
    """Rows mixed, and rows of like length in a batch."""
    text = {"kind": "text", "vocabulary": 4000}
    one, two = {"line": {**text, "column": "utterance"}}, {"before": {**text, "column": "previous_utterance"}}
    cases = {
        "meld_text: a line": (meld(), one, "emotion"),
        "meld_text: a line and the one before": (meld(), one | two, "emotion"),
        "fsdd: a spoken digit": (digits(), {"sound": {"kind": "audio", "column": "wav"}}, "digit"),
    }
    print("| rows | padding, mixed | grouped | epoch, mixed / grouped (range) |\n|---|---|---|---|")
    for name, (table, given, task) in cases.items():
        table = table.slice(0, 8 * num_rows)
        wasted, sides = {}, {}
        for grouped in (False, True):
            asked = experiment(table, given, task=task, group_lengths=grouped)
            prepared = prepare(load(asked), base=study.data_folder() / "fsdd", progress=Quiet())
            network = build(prepared.fitted)
            order = order_of(prepared, network)
            wasted[grouped] = waste(prepared, order, sorted(given))
            sides["grouped" if grouped else "mixed"] = Epochs(prepared, network).epoch
        times = taking_turns(sides, rounds // 2)
        ratios = [one / other for one, other in zip(times["mixed"], times["grouped"], strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {shares(wasted[False])} | {shares(wasted[True])} | {spread} |")


def waste(prepared: Prepared, order: Order, names: list[str]) -> list[float]:
    """For each input the part of its steps that is padding, over one epoch."""
    found = {name: [0, 0] for name in names}
    for rows in order.batches(0):
        batch = prepared.dataset.batch(rows, epoch=0)
        for name in names:
            mask = batch.inputs[name].values["mask"][batch.inputs[name].present]
            found[name][0] += int((~mask).sum())
            found[name][1] += mask.numel()
    return [empty / whole for empty, whole in found.values()]


def shares(parts: list[float]) -> str:
    return " and ".join(f"{100 * part:.1f} %" for part in parts)


# --- common


def meld() -> pa.Table:
    return lines(study.data_folder() / "meld_text", "val").drop_columns("split")


def digits() -> pa.Table:
    import pyarrow.csv as pcsv

    return pcsv.read_csv(study.data_folder() / "fsdd" / "manifest.csv").drop_columns("split")


def experiment(table: pa.Table, given: dict[str, Any], *, task: str = "emotion", group_lengths: bool = False) -> dict:
    return {
        "data": {"train": table, "valid": 0.05},
        "inputs": given,
        "tasks": {task: "multiclass"},
        "fusion": {"kind": "concat", "width": 128},
        "training": {"epochs": 1, "batch_size": 32, "device": "cpu", "group_lengths": group_lengths},
    }


def taking_turns(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side in each round; the first round warms up and is not counted."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            begun = time.perf_counter()
            side()
            if turn:
                times[name].append(time.perf_counter() - begun)
    return times


def say_ratio(what: str, slow: list[float], fast: list[float], target: str) -> None:
    ratios = [one / other for one, other in zip(slow, fast, strict=True)]
    low, median, high = min(ratios), statistics.median(ratios), max(ratios)
    print(f"{what}: {median:.1f} ({low:.1f} to {high:.1f}, {len(ratios)} rounds), {target}")


PARTS: Mapping[str, Callable[[int, int], None]] = {"kept": kept, "decoding": decoding, "padding": padding}

if __name__ == "__main__":
    main()
