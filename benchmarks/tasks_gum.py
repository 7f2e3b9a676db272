"""English sentences: the part of speech and the name tag of every word, and the type of the sentence, in one model.

The table is `gum_tagging`: 3,777 sentences train, 1,575 validate, 1,464 test, by document. The baselines
(baselines.json) are linear models, one per task: accuracy over words .924 and .536, over sentences .753. Options were
chosen on the validation rows; the test rows are read once, at the end. One thread.

    python benchmarks/tasks_gum.py [--valid] [--seed 0] [--set training.epochs=2 ...]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

import motet
import study
from motet.training.progress import progress_for

BASELINE = {"pos": ("upos", "token_acc"), "ner": ("ner", "token_acc"), "s_type": ("s_type (sentence)", "acc")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--valid", action="store_true", help="score the validation rows; the test rows are not read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a change to the experiment")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = study.data_folder() / "gum_tagging"
    with tempfile.TemporaryDirectory() as folder:
        begun, used = time.monotonic(), time.process_time()
        given = experiment(sentences(data, valid=arguments.valid), seed=arguments.seed)
        run = motet.fit(given, out=Path(folder) / "run", changes=arguments.set, progress=progress_for())
        minutes, cpu = (time.monotonic() - begun) / 60, (time.process_time() - used) / 60
    content = run.report.content
    print(run.report.to_text())
    print(f"\n{minutes:.1f} minutes, {cpu:.1f} of one processor; {content['training']['epochs']} epochs\n")
    show(content, json.loads((data / "baselines.json").read_text()))


def sentences(data: Path, *, valid: bool) -> pa.Table:
    """The words of every sentence, its labels and its part; without the test rows where they are not to be read."""
    table = pq.read_table(data / "sentences.parquet", columns=["tokens", "upos", "ner", "s_type", "split"])
    return table.filter(pc.not_equal(table["split"], "test")) if valid else table


def experiment(table: pa.Table, *, seed: int = 0) -> dict[str, Any]:
    """One text, three tasks."""
    return {
        "data": {"train": table, "split": "split"},
        "inputs": {
            "tokens": {"kind": "text", "encoder": {"kind": "gru", "layers": 2}, "width": 256, "dropout": 0.35},
        },
        "tasks": {
            "pos": {"kind": "tagging", "column": "upos", "metric": "accuracy", "weight": 3.0},
            "ner": {"kind": "tagging"},
            "s_type": {"kind": "multiclass"},
        },
        "training": {
            "epochs": 8,
            "batch_size": 32,
            "learning_rate": 2e-3,
            "schedule": "cosine",
            "average": 0.99,
            "patience": None,
            "device": "cpu",
            "seed": seed,
        },
    }


def show(content: dict[str, Any], linear: dict[str, Any]) -> None:
    """Every metric of every task with its interval, and the accuracy of the linear model."""
    print("| task | metric | motet | linear model | without input |\n|---|---|---|---|---|")
    for task, found in content["tasks"].items():
        kind, name = BASELINE[task]
        for metric, value in found["metrics"].items():
            beside = f"{linear[kind][name]:.3f}" if metric == "accuracy" else ""
            low, high, least = value["low"], value["high"], found["baseline"][metric]
            print(f"| {task} | {metric} | {value['value']:.4f} ({low:.4f} to {high:.4f}) | {beside} | {least:.3f} |")


if __name__ == "__main__":
    main()
