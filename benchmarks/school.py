"""139 schools as 139 tasks: joint training beside ridge regression, in explained variance.

The table is `school_139_tasks`: every pupil has a score in one school. One in five of its training rows validates.
Every side chooses its options there (motet's with seed 0), is then fitted again on all training rows with what was
chosen, and reads the test rows once. motet keeps its last weights: no row is held out while it trains. All is
kept in `results/school.jsonl`; what is on file is not computed, and the test rows not read, again. One thread per
process.

    python benchmarks/school.py [--minutes 60] [--side 1]
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import motet
import study
from study import Job

SEEDS = (0, 1, 2)
RIDGES = (0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
RIDGE_SIDES = ("separate ridge", "pooled ridge", "pooled ridge with a school indicator")
LINEAR = {"layers": 0, "branch": 1}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "hard": [
        {"sharing": {"width": width, "dropout": dropout}, "weight_decay": decay}
        for width, dropout, decay in ((32, 0.2, 0.01), (32, 0.2, 0.1), (128, 0.5, 0.1))
    ]
    + [{"sharing": {"width": 32, "dropout": 0.2}, "weight_decay": 0.01, "batch_size": 512, "epochs": 10}],
    "relation": [
        {"sharing": {**LINEAR, "strength": strength, "norm": 0.0, "bias": 0.2}, "weight_decay": decay}
        for strength, decay in ((0.3, 0.03), (0.3, 0.1), (1.0, 0.03))
    ],
    "clustered": [
        {"sharing": {**LINEAR, "clusters": 1, "within": within, "between": within, "bias": 0.2}, "weight_decay": decay}
        for within, decay in ((30.0, 0.1), (100.0, 0.03), (100.0, 0.1))
    ],
    "factorised": [
        {"sharing": {**LINEAR, "feature_rank": 32, "task_rank": rank, "bias": 0.2}, "weight_decay": decay}
        for rank, decay in ((3, 0.03), (3, 0.1), (4, 0.1))
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="no training begins after this")
    parser.add_argument("--side", type=int, default=1, help="trainings side by side, a core each")
    parser.add_argument("--choose", action="store_true", help="only choose the options; the test rows are not read")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = partial(written, study.data_folder(), Path(folder))
        run = partial(
            study.work,
            measure=measure,
            results=study.RESULTS / "school.jsonl",
            minutes=arguments.minutes,
            side=arguments.side,
        )
        path = table("valid")
        found = run([Job(f"valid/{name}/{number}", of(path)) for name, number, of in sides()])
        best = chosen(found)
        for name, (number, score) in best.items():
            print(f"{name}: {score:.4f} on the validation rows with {options(name)[number]}")
        if arguments.choose:
            return
        path = table("test")
        jobs = [
            Job(f"test/{name}/{seed}", of(path, seed=seed))
            for name, number, of in sides()
            if name in best and best[name][0] == number
            for seed in (SEEDS if name in OPTIONS else SEEDS[:1])
        ]
        show(best, run(jobs))


def options(name: str) -> Sequence[Any]:
    """What the side may choose from."""
    return OPTIONS.get(name, RIDGES)


def sides() -> Iterator[tuple[str, int, Any]]:
    """Every side with every one of its options, numbered: its experiment for a table and a seed."""
    for name in (*RIDGE_SIDES, *OPTIONS):
        for number, option in enumerate(options(name)):
            yield name, number, partial(experiment if name in OPTIONS else ridge_side, name, option)


def chosen(found: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[int, float]]:
    """The option of each side that is best on the validation rows, once all were tried."""
    best: dict[str, tuple[int, float]] = {}
    for name in (*RIDGE_SIDES, *OPTIONS):
        scores = [found.get(f"valid/{name}/{number}", {}).get("score") for number in range(len(options(name)))]
        if None not in scores:
            number = int(np.argmax(scores))
            best[name] = number, scores[number]
    return best


def written(data: Path, folder: Path, part: str) -> Path:
    """A table with a column per school: "valid" trains on four fifths of the training rows and tests on the others."""
    given = pq.read_table(data / "school_139_tasks" / "data.parquet")
    trains = np.array(given["split"].to_pylist()) == "train"
    if part == "valid":
        held = np.random.default_rng(0).random(given.num_rows) < 0.2  # as in task_tables.school
        given, trains = given.take(np.flatnonzero(trains)), ~held[trains]
    columns: dict[str, Any] = {name: given[name] for name in given.column_names if name.startswith("x")}
    of, score = given["school"].to_numpy(), given["score"].to_numpy().astype(float)
    columns |= {f"s{one:03}": pa.array(score, mask=of != one) for one in np.unique(of)}
    columns["split"] = np.where(trains, "train", "test")
    pq.write_table(pa.table(columns), folder / f"school-{part}.parquet")
    return folder / f"school-{part}.parquet"


def experiment(name: str, option: Mapping[str, Any], table: Path, *, seed: int = 0) -> dict[str, Any]:
    """All schools on one scale, each weighed by its rows; with layers of their own, schools answer by these alone."""
    _, of, _, trains = arrays(table)
    counts = np.bincount(of[trains])
    head = "linear" if name == "hard" else "none"
    tasks = {
        f"s{number:03}": {
            "kind": "regression",
            "metric": "rmse",
            "unit": "score",
            "head": head,
            "weight": round(float(count / counts.mean()), 6),
        }
        for number, count in enumerate(counts)
    }
    return {
        "data": {"train": str(table), "split": "split"},
        "inputs": {"x": {"kind": "vector", "columns": "x*", "width": 32, "layers": 0}},
        "tasks": tasks,
        "fusion": {"kind": "concat", "width": 32},
        "sharing": {"kind": name, **option["sharing"]},
        "training": {
            "epochs": option.get("epochs", 150),
            "batch_size": option.get("batch_size", 16384),  # all rows
            "optimizer": "adam",  # its decay is a penalty on the squared weights
            "weight_decay": option["weight_decay"],
            "learning_rate": 0.01,
            "schedule": "cosine",
            "average": 0.0,
            "patience": None,
            "device": "cpu",
            "seed": seed,
        },
    }


def ridge_side(name: str, ridge: float, table: Path, *, seed: int = 0) -> dict[str, Any]:
    return {"data": {"train": str(table)}, "side": name, "ridge": ridge}


def measure(job: Job, folder: Path) -> dict[str, Any]:
    """The explained variance over all test rows of the table, 1 - sum (y - f)^2 / sum (y - mean y)^2, and its price."""
    torch.set_num_threads(1)
    begun = time.process_time()
    table = Path(job.experiment["data"]["train"])
    _, of, scores, trains = arrays(table)
    if "ridge" in job.experiment:
        answers = ridge_answers(job.experiment["side"], job.experiment["ridge"], table)
    else:
        model = motet.fit(job.experiment, out=folder).model
        rows = pq.read_table(table).filter(pa.array(~trains)).to_pylist()
        said = zip(model.predict(rows), of[~trains], strict=True)
        answers = np.array([one[f"s{number:03}"] for one, number in said])
    truth = scores[~trains]
    score = float(1 - ((truth - answers) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())
    return {"score": score, "cpu_seconds": round(time.process_time() - begun, 1)}


def ridge_answers(side: str, ridge: float, table: Path) -> np.ndarray:
    """Closed form: features standardised over all schools, no penalty on the mean; one on each school's indicator."""
    x, of, score, trains = arrays(table)
    x = (x - x[trains].mean(axis=0)) / np.where(x[trains].std(axis=0) > 0, x[trains].std(axis=0), 1.0)
    if side == "pooled ridge with a school indicator":
        x = np.hstack([x, np.eye(of.max() + 1)[of]])
    group = of if side == "separate ridge" else np.zeros_like(of)
    answers = np.zeros(len(score))
    for one in np.unique(group):
        seen, mine = trains & (group == one), group == one
        middle, mean = x[seen].mean(axis=0), score[seen].mean()
        z = x[seen] - middle
        slope = np.linalg.solve(z.T @ z + ridge * np.eye(z.shape[1]), z.T @ (score[seen] - mean))
        answers[mine] = mean + (x[mine] - middle) @ slope
    return answers[~trains]


def arrays(table: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features, school, score, and which rows train."""
    read = pq.read_table(table)
    schools = [name for name in read.column_names if name.startswith("s") and name != "split"]
    scores = np.stack([read[name].to_numpy(zero_copy_only=False).astype(float) for name in schools], axis=1)
    of = (~np.isnan(scores)).argmax(axis=1)
    x = np.stack([read[name].to_numpy().astype(float) for name in read.column_names if name.startswith("x")], axis=1)
    return x, of, scores[np.arange(len(of)), of], np.array(read["split"].to_pylist()) == "train"


def show(best: Mapping[str, tuple[int, float]], found: Mapping[str, Mapping[str, Any]]) -> None:
    print("\n| side | validation rows | test rows |\n|---|---|---|")
    for name, (_, score) in best.items():
        seeds = SEEDS if name in OPTIONS else SEEDS[:1]
        values = [found[key]["score"] for seed in seeds if (key := f"test/{name}/{seed}") in found]
        print(f"| {name} | {score:.3f} | {study.shown(values, wanted=len(seeds))} |")


if __name__ == "__main__":
    main()
