"""Balance between inputs where one dominates: clear pictures beside sounds in noise, and what becomes of the sound.

The joint score is that of the model with both inputs. The sound is judged twice: by the model's own answer with the
picture absent, and by a logistic regression on what the trained sound encoder gives (its mean token), fitted on the
training rows: what the encoder knows, whatever the heads make of it.

Reads the folder named by MOTET_DATA (default: ../shared/data beside the repository). What was measured is kept in
benchmarks/results, so the script goes on where it stopped. Delete the file to measure everything again.

    python benchmarks/modality_study.py [--seeds 3] [--minutes 30] [--side 2]
"""

import argparse
from pathlib import Path
from typing import Any

import study
import study_tables

METHODS: dict[str, dict[str, Any]] = {
    "none": {"kind": "none"},
    "joint + single-input losses": {"kind": "blend", "weights": "equal"},
    "blend": {"kind": "blend"},
    "ogm": {"kind": "ogm"},
    "agm": {"kind": "agm"},
    "pmr": {"kind": "pmr"},
    "mmpareto": {"kind": "mmpareto"},
    "resample": {"kind": "resample"},
}
OUT = study.ROOT / "runs" / "modality_study"


def main() -> None:
    """Train what is not trained yet, then print the table of what is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--side", type=int, default=2, help="trainings side by side, one thread each")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    table = study_tables.av_digits(study.data_folder(), OUT, grey=None, noise_db=0.0)
    jobs = [
        study.Job(f"{method} | {seed}", experiment(table, method, seed))
        for seed in range(options.seeds)
        for method in METHODS
    ]
    results = study.RESULTS / "modality_study.jsonl"
    found = study.work(jobs, measure, results=results, minutes=options.minutes, side=options.side)
    clocked = [study.Job(f"{method} | ms", experiment(table, method, 0)) for method in METHODS]
    found |= study.work(clocked, clock, results=results, minutes=options.minutes, side=1)
    print("\n" + markdown(found, seeds=options.seeds))


def experiment(table: Path, method: str, seed: int) -> dict[str, Any]:
    """The same for every method: 20 epochs, the best on validation kept, everything else as it comes."""
    return {
        "data": {"train": str(table), "split": "split", "root": str(table.parent)},
        "inputs": {
            "image": {"kind": "image", "width": 64},
            "audio": {"kind": "audio", "channels": 32, "width": 64, "mels": 40, "hop": 20.0},
        },
        "tasks": {"digit": "multiclass"},
        "fusion": "concat",
        "balance": {"modalities": METHODS[method]},
        "training": {"epochs": 20, "patience": None, "seed": seed, "device": "cpu"},
    }


def measure(job: study.Job, folder: Path) -> dict[str, float]:
    """Train, and keep what the table shows."""
    import torch

    import motet

    torch.set_num_threads(1)
    run = motet.fit(job.experiment, out=folder)
    report = run.report.content
    return {
        "joint": report["tasks"]["digit"]["metrics"]["accuracy"]["value"],
        "sound alone": study.without(report, "image", "digit"),
        "picture alone": study.without(report, "audio", "digit"),
        "sound probe": probe(job.experiment, folder, "audio"),
    }


def clock(job: study.Job, folder: Path) -> dict[str, float]:
    """The median time of a training step, nothing else running."""
    import torch

    torch.set_num_threads(1)
    return {"ms per step": study.step_time(job.experiment)}


def probe(experiment: dict[str, Any], folder: Path, name: str) -> float:
    """Test accuracy of a logistic regression on the mean token that the trained encoder gives for one input."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    from motet import api
    from motet.nn import masked_mean
    from motet.run.judge import batches_of
    from motet.run.prepare import prepare
    from motet.spec import load
    from motet.training import Quiet

    network = api.load(folder).network.eval()
    prepared = prepare(load(experiment), base=Path.cwd(), progress=Quiet())
    features, targets = {}, {}
    for part in ("train", "test"):
        rows = getattr(prepared.fitted.splits, part)
        with torch.inference_mode():
            batches = list(batches_of(prepared.dataset, rows))
            tokens = [network.encoders[name](batch.inputs[name]) for batch in batches]
        features[part] = torch.cat([masked_mean(one.values, one.mask) for one in tokens]).numpy()
        targets[part] = torch.cat([batch.targets["digit"].values["target"] for batch in batches]).numpy()
    scaler = StandardScaler().fit(features["train"])
    model = LogisticRegression(max_iter=2000).fit(scaler.transform(features["train"]), targets["train"])
    return float(model.score(scaler.transform(features["test"]), targets["test"]))


def markdown(found: dict[str, dict[str, float]], *, seeds: int) -> str:
    """The table, in the order of the joint score."""
    columns = ["joint", "sound alone", "sound probe", "picture alone"]
    lines = [["method", *columns, "ms per step"], ["---"] * (len(columns) + 2)]
    runs = {m: [found[key] for seed in range(seeds) if (key := f"{m} | {seed}") in found] for m in METHODS}
    for method in sorted(METHODS, key=lambda m: -sum(run["joint"] for run in runs[m]) / max(1, len(runs[m]))):
        cells = [study.shown([run[column] for run in runs[method]], wanted=seeds) for column in columns]
        cost = found.get(f"{method} | ms")
        lines.append([method, *cells, f"{cost['ms per step']:.1f}" if cost else "-"])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
