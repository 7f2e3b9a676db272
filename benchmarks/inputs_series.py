"""Series as inputs: noisy waves measured at random times, and spoken digits as frames of forty mel bands.

`waves` is generated: 20 to 60 values of a * sin(2 pi f t + phase) + noise at times from 0 to 1 whose gaps are
lognormal, of three frequencies an octave apart, any amplitude and phase. One model says frequency and amplitude;
`without times` sees the values in their order alone. `digits` is the table `fsdd`, each sound an array [T, 40] of
log-mel frames in a file of its own, in the parts its manifest names. The other side is a linear model on the mean and
deviation of each channel over the steps (for waves of values and of gaps). Options were chosen on the validation rows;
test rows are read once, by three seeds.

    python benchmarks/inputs_series.py [--valid] [--seeds 0 1 2] [--only waves digits] [--set training.epochs=2 ...]
"""

import argparse
import csv
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import motet
import study
from motet import media

FREQUENCIES = (1.5, 3.0, 6.0)
COUNTS = {"train": 2000, "valid": 400, "test": 1000}
NOISE = 0.3
RATE = 8000
CNN = {"kind": "cnn", "channels": 64, "blocks": 3}
TRANSFORMER = {"kind": "transformer", "layers": 2, "heads": 4}
SERIES: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "waves": {
        "cnn": {"times": True, "encoder": CNN},
        "transformer": {"times": True, "encoder": TRANSFORMER},
        "cnn without times": {"column": "values", "encoder": CNN},
    },
    "digits": {"cnn": {"files": True, "encoder": CNN}, "transformer": {"files": True, "encoder": TRANSFORMER}},
}
TASKS: Mapping[str, dict[str, Any]] = {
    "waves": {"frequency": {"kind": "multiclass"}, "amplitude": {"kind": "regression"}},
    "digits": {"digit": {"kind": "multiclass"}},
}
METRIC = {"frequency": "accuracy", "amplitude": "r2", "digit": "accuracy"}
TRAINING: Mapping[str, dict[str, Any]] = {
    "waves": {"epochs": 8, "learning_rate": 2e-3},
    "digits": {"epochs": 5, "learning_rate": 2e-3},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--valid", action="store_true", help="score the validation rows; the test rows are not read")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=sorted(SERIES), default=["waves", "digits"])
    parser.add_argument("--encoders", nargs="+", help="the rows of the table that are wanted; all if left out")
    parser.add_argument("--minutes", type=float, default=30.0, help="no training begins after so many")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a change to the experiment")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    begun, spent = time.monotonic(), time.process_time()
    print("| table | input | task | mean ± half of 95 % over seeds (each; interval of the first) |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            table, features = {"waves": waves, "digits": digits}[name](Path(folder))
            scored = "valid" if arguments.valid else "test"
            for task, value in linear(table, features, TASKS[name], scored).items():
                print(f"| {name} | linear on statistics | {task} | {value:.3f} |", flush=True)
            for label, series in SERIES[name].items():
                if arguments.encoders and label not in arguments.encoders:
                    continue
                found = []
                for seed in arguments.seeds:
                    if time.monotonic() - begun < 60 * arguments.minutes:
                        one = experiment(name, table, Path(folder), series, seed=seed, valid=arguments.valid)
                        out = Path(folder) / f"{name} {label} {seed}"
                        found.append(motet.fit(one, out=out, changes=arguments.set).report)
                show(name, label, found, wanted=len(arguments.seeds))
    print(f"\n{(time.process_time() - spent) / 60:.1f} minutes of one processor")


def experiment(
    name: str, table: pa.Table, folder: Path, series: Mapping[str, Any], *, seed: int, valid: bool
) -> dict[str, Any]:
    """One series, one or two tasks; with `valid` no row is kept for the test, and the validation rows are scored."""
    kept = table.filter(pa.array([part != "test" for part in table["split"].to_pylist()])) if valid else table
    path = folder / f"{name} {'valid' if valid else 'test'}.parquet"
    pq.write_table(kept, path)
    return {
        "data": {"train": str(path), "split": "split"},
        "inputs": {"series": {"kind": "series", **series}},
        "tasks": TASKS[name],
        "training": {"schedule": "cosine", "batch_size": 32, "seed": seed, "workers": 0, **TRAINING[name]},
    }


def show(name: str, label: str, found: list[Any], *, wanted: int) -> None:
    for task in TASKS[name]:
        values = [report[task][METRIC[task]] for report in found]
        each = ", ".join(f"{one.value:.3f}" for one in values)
        first = f"{values[0].low:.3f} to {values[0].high:.3f}" if values else ""
        shown = study.shown([one.value for one in values], wanted=wanted)
        print(f"| {name} | {label} | {task} {METRIC[task]} | {shown} ({each}; {first}) |", flush=True)


def waves(folder: Path) -> tuple[pa.Table, np.ndarray]:
    """The table, the same every time, and statistics of each row."""
    chance, rows, features = np.random.default_rng(0), [], []
    for split, count in COUNTS.items():
        for _ in range(count):
            gaps = chance.lognormal(sigma=1.0, size=int(chance.integers(20, 61)))
            times = np.cumsum(gaps) / gaps.sum()
            frequency, amplitude, phase = (
                chance.choice(FREQUENCIES),
                chance.uniform(0.5, 2),
                chance.uniform(0, 2 * np.pi),
            )
            values = amplitude * np.sin(2 * np.pi * frequency * times + phase) + NOISE * chance.normal(size=len(times))
            features.append([values.mean(), values.std(), gaps.mean(), gaps.std()])
            series = np.stack([times, values], axis=1).tolist()
            rows.append({"series": series, "values": values.tolist(), "frequency": f"{frequency:g} Hz"})
            rows[-1] |= {"amplitude": float(amplitude), "split": split}
    return pa.Table.from_pylist(rows), np.array(features)


def digits(folder: Path) -> tuple[pa.Table, np.ndarray]:
    """The frames of every sound in a file, and the mean and deviation of each band."""
    data, rows, features = study.data_folder() / "fsdd", [], []
    with open(data / "manifest.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            samples, rate = soundfile.read(data / row["wav"], dtype="float32")
            assert rate == RATE
            frames = media.log_mel(samples, rate=RATE, window=200, hop=80, mels=40)
            np.save(folder / f"{row['id']}.npy", frames)
            features.append(np.concatenate([frames.mean(axis=0), frames.std(axis=0)]))
            split = {"val": "valid"}.get(row["split"], row["split"])
            rows.append({"series": f"{row['id']}.npy", "digit": f"d{row['digit']}", "split": split})
    return pa.Table.from_pylist(rows), np.array(features)


def linear(table: pa.Table, features: np.ndarray, tasks: Mapping[str, Any], scored: str) -> dict[str, float]:
    """What logistic or ridge regression on the statistics makes of each task."""
    split = np.array(table["split"].to_pylist())
    train, held = split == "train", split == scored
    found = {}
    for task, spec in tasks.items():
        labels = np.array(table[task].to_pylist())
        last = RidgeCV(np.logspace(-3, 3, 7)) if spec["kind"] == "regression" else LogisticRegression(max_iter=2000)
        model = make_pipeline(StandardScaler(), last).fit(features[train], labels[train])
        answers = model.predict(features[held])
        right = r2_score(labels[held], answers) if spec["kind"] == "regression" else np.mean(answers == labels[held])
        found[f"{task} {METRIC[task]}"] = float(right)
    return found


if __name__ == "__main__":
    main()
