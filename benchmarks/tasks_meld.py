"""What is felt in a line of a TV show: emotion (7) and sentiment (3) in one model, from scratch.

The table is `meld_text` (official split: 9,989 lines train, 1,109 validate, 2,610 test): a line, the one before it in
the dialogue, and who speaks. The other side is logistic regression on TF-IDF of words and pairs of words
(baselines.json). Both are scored by F1 weighted by class. Options were chosen on the validation rows; the test rows are
read once, at the end, by three seeds. One thread.

    python benchmarks/tasks_meld.py [--valid] [--seeds 0 1 2] [--set training.epochs=2 ...]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import torch

import motet
import study
from motet.training.progress import progress_for

TASKS = ("emotion", "sentiment")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--valid", action="store_true", help="score the validation rows; the test rows are not read")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a change to the experiment")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = study.data_folder() / "meld_text"
    table = lines(data, "val" if arguments.valid else "test")
    begun, used = time.monotonic(), time.process_time()
    found = [scores(table, seed, arguments.set) for seed in arguments.seeds]
    minutes, cpu = (time.monotonic() - begun) / 60, (time.process_time() - used) / 60
    theirs = json.loads((data / "baselines.json").read_text())
    print(f"\n{minutes:.1f} minutes, {cpu:.1f} of one processor, for {len(found)} models\n")
    print("| weighted F1 | motet: mean (each seed) | 95 % interval of the first | TF-IDF, linear |\n|---|---|---|---|")
    for task in TASKS:
        values = [one[task].value for one in found]
        each = ", ".join(f"{value:.3f}" for value in values)
        first = f"{found[0][task].low:.3f} to {found[0][task].high:.3f}"
        print(f"| {task} | {np.mean(values):.3f} ({each}) | {first} | {theirs[task]['weighted_f1']:.3f} |")


def lines(data: Path, scored: str) -> pa.Table:
    """The lines that train, those that validate and, where they are asked for, those that test."""
    table = pcsv.read_csv(data / "manifest.csv", parse_options=pcsv.ParseOptions(newlines_in_values=True))
    wanted = ["utterance", "previous_utterance", "speaker_main", *TASKS, "split"]
    return table.select(wanted).filter(pc.is_in(table["split"], pa.array(["train", "val", scored])))


def experiment(table: pa.Table, *, seed: int = 0) -> dict[str, Any]:
    """Both lines through one encoder."""
    text = {"kind": "text", "vocabulary": 4000, "width": 128, "dropout": 0.5, "word_dropout": 0.2}
    judged = {"kind": "multiclass", "metric": "weighted_f1"}
    return {
        "data": {"train": table, "split": "split"},
        "inputs": {
            "line": {**text, "column": "utterance", "drop": 0.0},
            "before": {"kind": "text", "column": "previous_utterance", "share": "line"},
            "speaker": {"kind": "category", "column": "speaker_main"},
        },
        "tasks": {"emotion": judged, "sentiment": judged},
        "fusion": {"kind": "concat", "width": 128},
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
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run = motet.fit(experiment(table, seed=seed), out=out, changes=changes, progress=progress_for())
        print(run.report.to_text())
        return {task: run.report[task]["weighted_f1"] for task in TASKS}


if __name__ == "__main__":
    main()
