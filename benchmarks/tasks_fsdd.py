"""Digit strings transcribed: sounds of the spoken digits joined to strings of 2 to 6, and CTC learns to write them.

The table is made of `fsdd`: strings of one speaker's digits with silence of up to a tenth of a second between them,
training strings of training sounds, validation and test strings of theirs, so that no sound is in two parts. The
options are motet's defaults but for what `experiment` writes. The test strings are read once.

    python benchmarks/tasks_fsdd.py [--seed 0]
"""

import argparse
import csv
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

import motet
import study

COUNTS = {"train": 2000, "valid": 200, "test": 400}
LONGEST, PAUSE = 6, 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        table = strings(study.data_folder() / "fsdd", Path(folder))
        begun = time.perf_counter()
        run = motet.fit(experiment(table, seed=seed), out=Path(folder) / "run")
        print(run.report.to_text())
        wer = run.report["digits"]["wer"]
        print(f"whole strings wrong {wer.value:.3f} ({wer.low:.3f} to {wer.high:.3f})")
        print(f"seed {seed}, {time.perf_counter() - begun:.0f} s on one thread")


def experiment(table: Path, *, seed: int) -> motet.Experiment:
    """Sound to digits."""
    return motet.Experiment(
        data={"train": str(table), "split": "split"},
        inputs={"sound": "audio"},
        tasks={"digits": {"kind": "transcription"}},
        training={"seed": seed, "epochs": 12, "learning_rate": 2e-3, "workers": 0},
    )


def strings(data: Path, folder: Path) -> Path:
    """The table of strings and their sounds, the same every time."""
    with open(data / "manifest.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    chance, table = np.random.default_rng(0), folder / "table.csv"
    with open(table, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sound", "digits", "split"])
        for split, count in COUNTS.items():
            by_speaker: dict[str, list[dict[str, str]]] = {}
            for row in rows:
                if {"val": "valid"}.get(row["split"], row["split"]) == split:
                    by_speaker.setdefault(row["speaker"], []).append(row)
            for number in range(count):
                speaker = sorted(by_speaker)[number % len(by_speaker)]
                chosen = chance.choice(len(by_speaker[speaker]), int(chance.integers(2, LONGEST + 1)))
                found = [by_speaker[speaker][index] for index in chosen]
                name = f"{split}{number}.wav"
                soundfile.write(folder / name, joined([data / row["wav"] for row in found], chance), 8000)
                writer.writerow([name, "".join(row["digit"] for row in found), split])
    return table


def joined(paths: list[Path], chance: np.random.Generator) -> np.ndarray:
    """The sounds one after the other."""
    parts = []
    for path in paths:
        parts += [soundfile.read(path, dtype="float32")[0], np.zeros(int(chance.uniform(0, PAUSE) * 8000), np.float32)]
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
