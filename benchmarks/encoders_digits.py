"""Digits from few pictures: a CNN, a vision transformer and HOG from scratch, as they come and with RandAugment.

The table is `av_digits`, the pictures alone, `--rows` of the training rows; nothing was chosen on the test rows, which
are read only without `--valid`. One thread.

    python benchmarks/encoders_digits.py [--valid] [--rows 2000] [--epochs 8] [--encoders cnn vit] [--seeds 0 1 2]
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

ENCODERS: dict[str, dict[str, Any]] = {
    "cnn": {"encoder": "cnn"},
    "cnn, randaugment": {"encoder": "cnn", "augment": "randaugment"},
    "vit": {"encoder": {"kind": "vit", "patch": 4}},
    "vit, randaugment": {"encoder": {"kind": "vit", "patch": 4}, "augment": "randaugment"},
    "hog": {"encoder": {"kind": "hog", "cell": 4}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--valid", action="store_true", help="score the validation rows; the test rows are not read")
    parser.add_argument("--rows", type=int, default=2000, help="so many of the 10,000 training rows")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--encoders", nargs="+", choices=list(ENCODERS), default=list(ENCODERS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = pictures(study.data_folder() / "av_digits", "val" if arguments.valid else "test", rows=arguments.rows)
    print("| encoder | accuracy: mean (each seed) | seconds of a processor |\n|---|---|---|")
    for name in arguments.encoders:
        begun = time.process_time()
        found = [accuracy(table, name, epochs=arguments.epochs, seed=seed) for seed in arguments.seeds]
        seconds = (time.process_time() - begun) / len(found)
        each = ", ".join(f"{value:.3f}" for value in found)
        print(f"| {name} | {np.mean(found):.3f} ({each}) | {seconds:.0f} |", flush=True)


def pictures(data: Path, scored: str, *, rows: int) -> pa.Table:
    """Some of the rows that train, and those that validate or test; the files' bytes and the digit."""
    table = pcsv.read_csv(data / "table.csv")
    train = table.filter(pc.equal(table["split"], "train")).slice(0, rows)
    table = pa.concat_tables([train, table.filter(pc.is_in(table["split"], pa.array(["val", scored])))])
    files = pa.array([(data / path).read_bytes() for path in table["image"].to_pylist()], type=pa.binary())
    return pa.table({"image": files, "digit": table["digit"], "split": table["split"]})


def accuracy(table: pa.Table, name: str, *, epochs: int, seed: int) -> float:
    """Of the rows that were held out."""
    experiment = {
        "data": {"train": table, "split": "split"},
        "inputs": {"image": {"kind": "image", "width": 64, **ENCODERS[name]}},
        "tasks": {"digit": "multiclass"},
        "training": {"epochs": epochs, "batch_size": 64, "schedule": "cosine", "device": "cpu", "seed": seed},
    }
    with tempfile.TemporaryDirectory() as folder:
        return float(motet.fit(experiment, out=Path(folder) / "run").report["digit"]["accuracy"].value)


if __name__ == "__main__":
    main()
