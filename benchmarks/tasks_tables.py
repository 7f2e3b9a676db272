"""One model fed by three tables, tags, emotions and translations, beside three models with the same encoder.

`gum_tagging` has tags for the words of a sentence, `meld_text` an emotion for an utterance, `multi30k_text` the German
of a caption; every text goes into one input. Each of the three others has one table and one task, the same
options and as many passes over its rows. The test rows are read once by each. One thread; `results/tasks_tables.jsonl`
keeps what is done.

    python benchmarks/tasks_tables.py [--seeds 1] [--captions 8000] [--epochs 8] [--minutes 120]
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import torch

import motet
import study
from study import Job

TASKS: dict[str, Any] = {
    "tags": {"kind": "tagging", "metric": "accuracy"},
    "emotion": {"kind": "multiclass", "metric": "weighted_f1"},
    "german": {"kind": "generation", "vocabulary": 4000, "width": 128, "layers": 2},
}
TABLE_OF = {"tags": "gum", "emotion": "meld", "german": "multi30k"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--captions", type=int, default=8000, help="of 29,000 that train")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=120.0, help="no training begins after this")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tables = written(study.data_folder(), Path(folder), captions=arguments.captions)
        jobs = [
            Job("+".join(tasks) + f"/{seed}", experiment(tasks, tables, seed=seed, epochs=arguments.epochs))
            for seed in range(arguments.seeds)
            for tasks in (tuple(TASKS), *((task,) for task in TASKS))
        ]
        results = study.RESULTS / "tasks_tables.jsonl"
        found = study.work(jobs, measure, results=results, minutes=arguments.minutes, side=1)
    for task in TASKS:
        for job in jobs:
            if job.key in found and task in found[job.key]:
                print(f"{task}: {job.key}: {found[job.key][task]}")


def measure(job: Job, folder: Path) -> dict[str, Any]:
    """Test scores of one model, with their intervals and the minutes of one processor it took."""
    torch.set_num_threads(1)
    begun = time.process_time()
    run = motet.fit(job.experiment, out=folder / "run")
    scores: dict[str, Any] = {}
    for task in job.experiment["tasks"]:
        metric = run.report.content["tasks"][task]["primary"]
        figure = run.report[task][metric]
        scores[task] = {metric: figure.value, "low": figure.low, "high": figure.high, "baseline": figure.baseline}
    return scores | {"minutes": round((time.process_time() - begun) / 60, 2)}


def experiment(tasks: tuple[str, ...], tables: Mapping[str, Path], *, seed: int, epochs: int) -> dict[str, Any]:
    """The tables these tasks have their labels in, into one text input."""
    return {
        "data": {
            "train": [{"table": str(tables[TABLE_OF[task]]), "name": TABLE_OF[task]} for task in tasks],
            "split": "split",
        },
        "inputs": {"text": {"kind": "text", "words": True, "vocabulary": 6000, "width": 128}},
        "tasks": {task: TASKS[task] for task in tasks},
        "training": {"seed": seed, "epochs": epochs, "batch_size": 32, "schedule": "cosine", "workers": 0},
    }


def written(data: Path, folder: Path, *, captions: int) -> dict[str, Path]:
    """The three tables with the columns that are used, under the names they share."""
    gum = pq.read_table(data / "gum_tagging" / "sentences.parquet")
    meld = pa.csv.read_csv(data / "meld_text" / "manifest.csv")
    multi = pq.read_table(data / "multi30k_text" / "sentences.parquet")
    trains = [row for row, split in enumerate(multi["split"].to_pylist()) if split == "train"]
    left = set(trains[captions:])
    multi = multi.take([row for row in range(multi.num_rows) if row not in left])
    tables = {
        "gum": {"text": gum["tokens"], "tags": gum["upos"], "split": gum["split"]},
        "meld": {"text": split_in_words(meld["utterance"]), "emotion": meld["emotion"], "split": meld["split"]},
        "multi30k": {"text": split_in_words(multi["en"]), "german": multi["de"], "split": multi["split"]},
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return {name: folder / f"{name}.parquet" for name in tables}


def split_in_words(column: pa.ChunkedArray) -> list[list[str]]:
    """Texts as lists of words, as the sentences with tags are."""
    return [str(text).split() for text in column.to_pylist()]


if __name__ == "__main__":
    main()
