"""Exact resume (Q1): a run killed five times ends with the bits of one left alone, and repeats almost nothing."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from motet.training.loop import LONGEST_GAP

KILLS = (78, 162, 180, 252, 336)
"""Steps after which the run is killed. An epoch has 60: inside the second and third, at the third's end, and so on."""
ACCUMULATE = 2

# The command line, with a record of the rows that each process reads for training. Batches are held up a little: on a
# fast machine so small a model would reach the next kill within the second that two checkpoints are apart at least.
RECORDED = """
import sys, time, torch
torch.set_num_threads(1)
from motet.data import Dataset
whole = Dataset.batch
def batch(self, rows, *, epoch):
    if epoch is not None:
        time.sleep(0.008)
        with open(sys.argv[1], "a") as file:
            print(epoch, *rows.tolist(), file=file)
    return whole(self, rows, epoch=epoch)
Dataset.batch = batch
from motet.cli import _run
sys.exit(_run(sys.argv[2:]))
"""


@pytest.mark.long
def test_five_kills_change_nothing(tmp_path: Path) -> None:
    experiment = _experiment(tmp_path)
    whole = _start(experiment, tmp_path / "whole", tmp_path / "whole.rows")  # beside the one that is killed
    resumed, age, parts = [0], 0.0, []
    for number, kill in enumerate((*KILLS, None)):
        rows, workers = tmp_path / f"{number}.rows", number == 3  # one process loads with workers: Q3
        more = ["--resume", *(["--set", "training.workers=1"] if workers else [])]
        run = _start(experiment, tmp_path / "killed", rows, *more)
        if kill is None:
            assert run.wait(timeout=300) == 0, rows.with_suffix(".err").read_text()
        else:
            assert age <= LONGEST_GAP + 5, "the checkpoint was older than promised"
            age = _kill_after(run, tmp_path / "killed", step=kill)
        start = _resumed_at(tmp_path / "killed")
        if number:
            assert start >= resumed[-1], "it went back behind an earlier resume"
            assert start > 0, "it started over"
        if not workers:
            parts.append((ACCUMULATE * start, rows.read_text().splitlines()))
        resumed.append(start)
    assert whole.wait(timeout=300) == 0, (tmp_path / "whole.err").read_text()
    reference = (tmp_path / "whole.rows").read_text().splitlines()
    for consumed, read in parts:
        assert read == reference[consumed : consumed + len(read)], "it read consumed rows again, or skipped some"
    assert len(parts) == len(KILLS)
    assert resumed[-1] > KILLS[-2], "the last resume repeated more than an epoch"

    assert _weights(tmp_path / "killed") == _weights(tmp_path / "whole")
    lines = (tmp_path / "killed" / "log.jsonl").read_text().splitlines()
    kept = [line for line in lines if "resumed_at" not in line]
    assert kept == (tmp_path / "whole" / "log.jsonl").read_text().splitlines()
    assert sum("cosines" in line for line in kept) == 6
    relations = [(tmp_path / name / "relations.json").read_bytes() for name in ("killed", "whole")]
    assert relations[0] == relations[1]


def _experiment(folder: Path) -> Path:
    """A model with everything that has a state: dropout, word dropout, learned task weights, momentum, epochs."""
    chance = random.Random(0)
    with open(folder / "table.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["size", "colour", "words", "price", "sold"])
        for _ in range(2133):
            size, colour = chance.gauss(0, 1), chance.choice(["red", "blue", "green"])
            words = " ".join(chance.choices(["fine", "old", "new", "broken", "rare", "cheap"], k=chance.randint(1, 12)))
            price = size + (colour == "red") + words.count("rare") + chance.gauss(0, 0.3)
            cells = [f"{size:.3f}", colour, words, f"{price:.3f}", "yes" if price > 1 else "no"]
            writer.writerow(["" if chance.random() < 0.1 else cell for cell in cells])
    path = folder / "experiment.yaml"
    path.write_text(
        f"""
data: {{train: table.csv}}
inputs: {{size: number, colour: category, words: {{kind: text, width: 32}}}}
tasks: {{price: regression, sold: binary}}
sharing: {{kind: hard, dropout: 0.1}}
balance: {{tasks: uncertainty}}
training: {{epochs: 6, batch_size: 16, accumulate: {ACCUMULATE}, patience: null}}
"""
    )
    return path


def _start(experiment: Path, out: Path, rows: Path, *more: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", RECORDED, str(rows), "train", str(experiment), "--out", str(out), *more]
    environment = os.environ | {"MOTET_CACHE": str(experiment.parent / "cache"), "OMP_NUM_THREADS": "1"}
    with open(rows.with_suffix(".err"), "w") as said:
        return subprocess.Popen(command, env=environment, stderr=said, stdout=subprocess.DEVNULL)


def _kill_after(run: "subprocess.Popen[bytes]", out: Path, *, step: int) -> float:
    """Kill when the log shows the step; how many seconds the newest checkpoint was old then."""
    deadline = time.monotonic() + 300
    while _last_step(out / "log.jsonl") < step:
        assert run.poll() is None, "the run ended before it was to be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    assert run.wait(timeout=60) == -signal.SIGKILL
    newest = max(path.stat().st_mtime for path in (out / "checkpoints").glob("step-*"))
    return time.time() - newest


def _last_step(log: Path) -> int:
    lines = log.read_bytes().split(b"\n")[:-1] if log.is_file() else []
    return max((json.loads(line).get("step", 0) for line in lines[-3:]), default=0)


def _resumed_at(out: Path) -> int:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_bytes().split(b"\n")[:-1]]
    return next((line["resumed_at"] for line in reversed(lines) if "resumed_at" in line), 0)


def _weights(out: Path) -> bytes:
    return (out / "bundle" / "weights.safetensors").read_bytes()
