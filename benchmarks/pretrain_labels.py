"""What pretraining without labels is worth where few rows have one: 1, 5 and 10 % of the labels of av_digits.

The table is the degraded one of the studies (study_tables.py): pictures of 8 x 8 grey pixels, sounds in noise of their
own loudness, 2,000 training rows. Pretraining reads all of them and no label, by the task that `motet pretrain` takes
of itself (which sound goes with which picture). Training then reads the labelled rows alone, as many of each digit,
from the pretrained model or from chance, with the same options; from chance also with three times the epochs. No
validation row has a say in these: the last weights are kept. Options were chosen on the validation rows (`--valid`);
the test rows are read once by each training. What was measured is kept in benchmarks/results, so the script goes on
where it stopped. One thread.

    python benchmarks/pretrain_labels.py [--valid] [--seeds 3] [--minutes 12]
"""

import argparse
import functools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import torch

import motet
import study
import study_tables

PERCENT = (1, 5, 10)
INPUTS = {
    "image": {"kind": "image", "first": 8, "width": 32},
    "audio": {"kind": "audio", "channels": 32, "width": 32, "mels": 40, "hop": 20.0},
}
FIRST = {"epochs": 60, "batch_size": 64, "learning_rate": 0.003, "patience": None, "device": "cpu"}
THEN = {"epochs": 40, "batch_size": 16, "patience": None, "device": "cpu"}
CHANCE, LONGER, PRETRAINED = STARTS = ("from chance", "from chance, three times the epochs", "pretrained")
OUT = study.ROOT / "runs" / "pretrain_labels"


def main() -> None:
    """Train what is not trained yet, then print the table of what is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--valid", action="store_true", help="score the validation rows; the test rows are not read")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=12.0)
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    part = "val" if options.valid else "test"
    table = study_tables.av_digits(study.data_folder(), OUT, grey=8, noise_db=0.0)
    jobs = [
        study.Job(key(part, start, percent, seed), experiment(table, part, start, percent, seed))
        for seed in range(options.seeds)
        for percent in PERCENT
        for start in STARTS
    ]
    results = study.RESULTS / "pretrain_labels.jsonl"
    first = functools.partial(measure, table)
    found = study.work(jobs, first, results=results, minutes=options.minutes, side=1)
    print(f"\n{markdown(found, part, seeds=options.seeds)}")


def key(part: str, start: str, percent: int, seed: int) -> str:
    """The name of one training."""
    return f"{part} | {start} | {percent} | {seed}"


def experiment(table: Path, part: str, start: str, percent: int, seed: int) -> dict[str, Any]:
    """The labelled rows, and those that are scored; `init_from` says which pretraining, wherever it is."""
    training = THEN | {"epochs": (3 if start == LONGER else 1) * THEN["epochs"], "seed": seed}
    if start == PRETRAINED:
        training["init_from"] = f"pretrained-{seed}"
    return {
        "data": {"train": str(few(table, part, percent, seed)), "valid": None, "split": "split"},
        "inputs": INPUTS,
        "tasks": {"digit": "multiclass"},
        "training": training,
    }


def few(table: Path, part: str, percent: int, seed: int) -> Path:
    """So many per cent of the training rows, as many of each digit, drawn by the seed, and the rows to be scored."""
    path = table.with_name(f"{part}-{percent}-{seed}.csv")
    if not path.is_file():
        rows = pyarrow.csv.read_csv(table)
        split, digit = (np.array(rows[name].to_pylist()) for name in ("split", "digit"))
        generator = np.random.default_rng(seed)
        each = round(percent / 100 * (split == "train").sum() / 10)
        drawn = [generator.permutation(np.flatnonzero((split == "train") & (digit == one)))[:each] for one in range(10)]
        chosen = rows.take(np.sort(np.concatenate(drawn)))
        scored = rows.take(np.flatnonzero(split == part))
        scored = scored.set_column(scored.column_names.index("split"), "split", [["test"] * len(scored)])
        pyarrow.csv.write_csv(pa.concat_tables([chosen, scored.cast(chosen.schema)]), path)
    return path


def pretrained(table: Path, seed: int) -> tuple[Path, float]:
    """The run that was pretrained, which is done once, and its seconds: every training row, no label."""
    path = table.with_name("unlabelled.csv")
    if not path.is_file():
        rows = pyarrow.csv.read_csv(table)
        kept = rows.filter(pa.array(np.array(rows["split"].to_pylist()) != "test"))
        pyarrow.csv.write_csv(kept.select(["id", "image", "audio", "split"]), path)
    document = {
        "data": {"train": str(path), "split": "split"},
        "inputs": INPUTS,
        "training": FIRST | {"seed": seed},
    }
    run = motet.pretrain(document, out=OUT / f"pretrained-{seed}", resume=True)
    return run.folder, float(run.report.content["training"]["seconds"])


def measure(table: Path, job: study.Job, folder: Path) -> dict[str, Any]:
    """The share of digits that are right, with all inputs and with one; and how long each training took."""
    torch.set_num_threads(1)
    training, before = job.experiment["training"], 0.0
    begun = time.process_time()
    if "init_from" in training:
        run, before = pretrained(table, training["seed"])
        training = training | {"init_from": str(run)}
    report = motet.fit(job.experiment | {"training": training}, out=folder).report
    return {
        "accuracy": report["digit"]["accuracy"].value,
        **{name: study.without(report.content, name, "digit") for name in INPUTS},
        "pretraining seconds": before,
        "processor seconds": round(time.process_time() - begun, 1),
    }


def markdown(found: dict[str, dict[str, Any]], part: str, *, seeds: int) -> str:
    """A row for each start, a column for each share of labels: mean over the seeds and its 95 % interval."""
    lines = [f"| {part} | {' | '.join(f'{percent} %' for percent in PERCENT)} |", "|---" * (1 + len(PERCENT)) + "|"]
    for start in STARTS:
        cells = []
        for percent in PERCENT:
            keys = [key(part, start, percent, seed) for seed in range(seeds)]
            cells.append(study.shown([found[one]["accuracy"] for one in keys if one in found], wanted=seeds))
        lines.append(f"| {start} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
