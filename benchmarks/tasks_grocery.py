"""Groceries on smartphone pictures: which of 81 descriptions goes with a picture, learned from scratch.

The table is `grocery`: 2,640 pictures train, 296 validate, 2,485 test, official split; all pictures of a class share
one description. A picture asks `model.search` for its own among all 81; by chance recall@5 is 5/81 = .062, and a linear
model (baselines.json: 20 x 20 pixels, principal components, logistic regression) names the right class first in .218 of
the test pictures. Options were chosen on the validation rows; the test rows are read once, at the end. One thread.

    python benchmarks/tasks_grocery.py [--valid] [--seed 0] [--set training.epochs=2 ...]
"""

import argparse
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
from motet.evaluation.interval import interval_of
from motet.training.progress import progress_for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--valid", action="store_true", help="score the validation rows; the test rows are not read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a change to the experiment")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = study.data_folder() / "grocery"
    table, descriptions = pictures(data, "val" if arguments.valid else "test"), pcsv.read_csv(data / "classes.csv")
    with tempfile.TemporaryDirectory() as folder:
        begun, used = time.monotonic(), time.process_time()
        given = experiment(table, data, seed=arguments.seed)
        run = motet.fit(given, out=Path(folder) / "run", changes=arguments.set, progress=progress_for())
        minutes, cpu = (time.monotonic() - begun) / 60, (time.process_time() - used) / 60
        print(run.report.to_text())
        scored = table.filter(pc.equal(table["split"], "val" if arguments.valid else "test"))
        ranks = ranks_of(run.model, scored, descriptions)
    print(f"\n{minutes:.1f} minutes, {cpu:.1f} of one processor; {len(ranks)} pictures, 81 descriptions\n")
    print("| picture to description | motet | chance |\n|---|---|---|")
    for k in (1, 5, 10):
        low, high = interval(ranks <= k)
        print(f"| recall@{k} | {(ranks <= k).mean():.3f} ({low:.3f} to {high:.3f}) | {k / 81:.3f} |")
    print(f"| median rank | {np.median(ranks):.1f} | 41 |")


def pictures(data: Path, scored: str) -> pa.Table:
    """The training pictures, those that validate and, where they are asked for, those that test."""
    table = pcsv.read_csv(data / "manifest.csv")
    table = table.filter(pc.is_in(table["split"], pa.array(["train", "val", scored])))
    paths = [str((data / path).resolve()) for path in table["image"].to_pylist()]
    return pa.table({"photo": paths, "description": table["description"], "split": table["split"]})


def experiment(table: pa.Table, data: Path, *, seed: int = 0) -> dict[str, Any]:
    """One task; no row has to do without an input, since a pair is learned from whole."""
    return {
        "data": {"train": table, "split": "split", "root": str(data)},
        "inputs": {
            "photo": {
                "kind": "image",
                "size": [64, 64],
                "first": 16,
                "width": 256,
                "flip": True,
                "crop": 0.15,
                "dropout": 0.2,
                "drop": 0.0,
            },
            "description": {
                "kind": "text",
                "vocabulary": 1000,
                "max_tokens": 40,
                "width": 64,
                "dropout": 0.2,
                "drop": 0.0,
            },
        },
        "tasks": {"match": {"kind": "matching", "width": 64}},
        "training": {
            "epochs": 60,
            "batch_size": 64,
            "learning_rate": 2e-3,
            "schedule": "cosine",
            "weight_decay": 0.05,
            "average": 0.99,
            "patience": None,
            "device": "cpu",
            "seed": seed,
        },
    }


def ranks_of(model: Any, scored: pa.Table, descriptions: pa.Table) -> np.ndarray:
    """For each picture the rank of its own description among all."""
    found = model.index(descriptions, of="description").search(scored.select(["photo"]), k=descriptions.num_rows)
    right = np.array(found["match__description"].to_pylist()) == np.repeat(
        np.array(scored["description"].to_pylist()), descriptions.num_rows
    )
    return 1 + right.reshape(scored.num_rows, descriptions.num_rows).argmax(axis=1)


def interval(hits: np.ndarray) -> tuple[float, float]:
    """A bootstrap over pictures."""
    found = interval_of(lambda rows: float(hits[rows.numpy()].mean()), len(hits), seed=0, resamples=1000)
    return found.low, found.high


if __name__ == "__main__":
    main()
