"""What is felt in a line of a TV show, read by a sentence encoder that stays as it is: all-MiniLM-L6-v2, kept states.

The table is `meld_text`, as in tasks_meld.py. The other side is logistic regression on the same encoder's sentences.
Options were chosen on the validation rows; the test rows are read once, at the end, by three seeds. One thread.

    python benchmarks/encoders_meld.py [--valid] [--seeds 0 1 2] [--set training.epochs=2 ...]
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

import motet
import study
from motet.training.progress import progress_for
from tasks_meld import TASKS, lines

REGRESSION = {"emotion": ".565", "sentiment": ".657"}
"""Weighted F1 of logistic regression on the sentences, measured elsewhere."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--valid", action="store_true", help="score the validation rows; the test rows are not read")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a change to the experiment")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = lines(study.data_folder() / "meld_text", "val" if arguments.valid else "test")
    begun = time.monotonic()
    found = [scores(table, seed, arguments.set) for seed in arguments.seeds]
    print(f"\n{(time.monotonic() - begun) / 60:.1f} minutes for {len(found)} models\n")
    print("| weighted F1 | mean (each seed) | 95 % interval of the first | logistic regression |\n|---|---|---|---|")
    for task in TASKS:
        values = [one[task].value for one in found]
        each = ", ".join(f"{value:.3f}" for value in values)
        first = f"{found[0][task].low:.3f} to {found[0][task].high:.3f}"
        print(f"| {task} | {np.mean(values):.3f} ({each}) | {first} | {REGRESSION[task]} |")


def experiment(table: pa.Table, *, seed: int = 0) -> dict[str, Any]:
    """Both lines as sentences of one encoder."""
    judged = {"kind": "multiclass", "metric": "weighted_f1", "class_weights": "root"}
    sentences = {"kind": "minilm", "output": "mean"}  # of length 1 they would need a larger rate
    return {
        "data": {"train": table, "split": "split"},
        "inputs": {
            "line": {"kind": "text", "column": "utterance", "encoder": sentences, "dropout": 0.5, "drop": 0.0},
            "before": {"kind": "text", "column": "previous_utterance", "share": "line"},
            "speaker": {"kind": "category", "column": "speaker_main"},
        },
        "tasks": {"emotion": judged, "sentiment": judged},
        "fusion": {"kind": "concat", "width": 1024, "dropout": 0.5},
        "training": {
            "epochs": 12,
            "batch_size": 64,
            "learning_rate": 1e-3,
            "schedule": "cosine",
            "weight_decay": 0.05,
            "average": 0.99,
            "device": "cpu",
            "seed": seed,
        },
    }


def scores(table: pa.Table, seed: int, changes: list[str]) -> dict[str, Any]:
    """By task, the primary metric and its interval."""
    with tempfile.TemporaryDirectory() as folder:
        run = motet.fit(
            experiment(table, seed=seed), out=Path(folder) / "run", changes=changes, progress=progress_for()
        )
        print(run.report.to_text())
        return {task: run.report[task]["weighted_f1"] for task in TASKS}


if __name__ == "__main__":
    main()
