"""Five multilabel tables by motet's defaults, beside a logistic regression for each label, in Hamming loss.

The tables are `multi_label_tabular`: music and its emotions, genes and their functions, scenes, flags, birds. Of the
official training rows one in five validates, other ones for each seed; the test rows are read once for each. Numbers
are one vector; what is a number only in name is a category. Whether dropout, more weight decay or last weights help was
looked at in thirds of the training rows: nothing did in all tables, so all is default but the metric. The files also
hold a row number (`__index_level_0__`), in whose order scenes of one kind stand together: it is left out.

    python benchmarks/tasks_multilabel.py [--seeds 3] [--sets flags,birds]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import motet
import study

SETS = ("emotions", "yeast", "scene", "flags", "birds")
NAMES_AS_NUMBERS = {"flags": ("landmass", "zone", "language", "religion")}
ROW_NUMBER = "__index_level_0__"
METRICS = {"hamming": "hamming_loss", "micro_f1": "micro_f1", "macro_f1": "macro_f1"}
"""Ours, and as the file of the baselines calls them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", type=lambda text: text.split(","), default=SETS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.perf_counter()
    data = study.data_folder() / "multi_label_tabular"
    baselines = json.loads((data / "baselines.json").read_text())
    lines = ["| table | rows | " + " | ".join(f"{name}: motet | baseline" for name in METRICS) + " |"]
    lines.append("|---|---|" + "---|---|" * len(METRICS))
    for name in arguments.sets:
        reports = [report(data, name, seed) for seed in range(arguments.seeds)]
        for seed, one in enumerate(reports):
            found = one["labels"]["hamming"]
            print(f"{name}, seed {seed}: hamming {found.value:.4f} ({found.low:.4f} to {found.high:.4f})", flush=True)
        cells = [f"{name} | {one.content['tasks']['labels']['rows']}" for one in reports[:1]]
        for metric, theirs in METRICS.items():
            values = [one["labels"][metric].value for one in reports]
            cells += [f"{np.mean(values):.4f} ± {np.std(values):.4f}", f"{baselines[name][theirs]:.4f}"]
        lines.append("| " + " | ".join(cells) + " |")
    print("\n".join(lines))
    print(f"{time.perf_counter() - begun:.0f} s on one thread")


def report(data: Path, name: str, seed: int) -> Any:
    """The scores of a model on the test rows."""
    table, inputs = table_of(data, name)
    tested = np.array(table["split"].to_pylist()) == "test"
    experiment = motet.Experiment(
        data={"train": table.filter(~tested), "valid": 0.2, "test": table.filter(tested)},
        inputs=inputs,
        tasks={"labels": {"kind": "multilabel", "columns": "label *", "metric": "hamming"}},
        training={"seed": seed, "device": "cpu", "workers": 0},
    )
    with tempfile.TemporaryDirectory() as folder:
        return motet.fit(experiment, out=Path(folder) / "run").report


def table_of(data: Path, name: str) -> tuple[pa.Table, dict[str, Any]]:
    """The table with its labels named as such, and its inputs."""
    table = pq.read_table(data / f"{name}.parquet").drop_columns([ROW_NUMBER])
    labels = set(json.loads((data / f"{name}_labels.json").read_text()))
    nominal = NAMES_AS_NUMBERS.get(name, ())
    table = table.rename_columns(
        [
            f"label {column}" if column in labels else column if column in (*nominal, "split") else f"number {column}"
            for column in table.column_names
        ]
    )
    return table, {"numbers": {"kind": "vector", "columns": "number *"}} | dict.fromkeys(nominal, "category")


if __name__ == "__main__":
    main()
