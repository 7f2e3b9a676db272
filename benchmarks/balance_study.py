"""Every way of balancing or sharing tasks on real tables, beside one model per task: what the tasks gain by each other.

Reads the folder named by MOTET_DATA (default: ../shared/data beside the repository). What was measured is kept in
benchmarks/results, so the script goes on where it stopped; tables of what is there are printed in any case.

    python benchmarks/balance_study.py [--of balance | sharing] [--seeds 3] [--minutes 60] [--side 2]
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import study
import task_tables

TABLES: dict[str, Callable[[Path, Path], tuple[Path, dict[str, Any], dict[str, Any]]]] = {
    "enb": lambda data, folder: task_tables.targets(data, folder, name="enb"),
    "jura": lambda data, folder: task_tables.targets(data, folder, name="jura"),
    "wq": lambda data, folder: task_tables.targets(data, folder, name="wq"),
    "oes10": lambda data, folder: task_tables.targets(data, folder, name="oes10"),
    "school": lambda data, folder: task_tables.school(data, folder),
    "adult": task_tables.adult,
    "two objects": task_tables.two_objects,
}
EPOCHS = {"enb": 50, "jura": 50, "wq": 20, "oes10": 25, "school": 10, "adult": 8, "two objects": 8}
SINGLE = "single task"
PLAIN = {"balance": "fixed", "sharing": "hard"}
"""What every other row is compared with, table by table."""
OUT = study.ROOT / "runs" / "balance_study"


def variants(of: str) -> dict[str, dict[str, Any]]:
    """Each row of the table: the paragraph that is changed."""
    from motet.spec.registry import ROOMS

    if of == "sharing":
        return {kind: {"sharing": {"kind": kind}} for kind in ROOMS["sharing"]}
    kinds = {kind: {"kind": kind} for kind in ROOMS["balance.tasks"] if kind != "torchjd"}
    kinds |= {"mgda, l2": {"kind": "mgda", "normalize": "l2"}}
    kinds |= {"fixed, searched": {"kind": "fixed", "weights": "search"}}
    return {name: {"balance": {"tasks": kind}} for name, kind in kinds.items()}


def main() -> None:
    """Train what is not trained yet, then print the tables of what is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", choices=("balance", "sharing"), default="balance")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--side", type=int, default=2, help="trainings side by side, one thread each")
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=list(TABLES))
    options = parser.parse_args()
    made = {name: TABLES[name](study.data_folder(), OUT) for name in options.tables}
    rows = variants(options.of)
    jobs = [
        study.Job(f"{table} | {row} | {seed}", experiment(table, made[table], seed, change))
        for seed in range(options.seeds)
        for table in made
        for row, change in rows.items()
    ]
    alone = [
        study.Job(f"{table} | {SINGLE} {task} | {seed}", experiment(table, made[table], seed, {}, only=task))
        for seed in range(options.seeds)
        for table in made
        for task in made[table][2]
    ]
    results = study.RESULTS / "balance_study.jsonl"
    found = study.work(alone + jobs, measure, results=results, minutes=options.minutes, side=options.side)
    gains: dict[str, dict[str, dict[int, float]]] = {}
    for table in made:
        singles = {seed: single(table, list(made[table][2]), seed, found) for seed in range(options.seeds)}
        gains[table] = {
            row: {
                seed: relative_gain(one["scores"], whole)
                for seed, whole in singles.items()
                if whole and (one := found.get(f"{table} | {row} | {seed}"))
            }
            for row in rows
        }
    print(summary(gains, found, seeds=options.seeds, plain=PLAIN[options.of]))


def experiment(
    table: str, made: tuple[Path, dict[str, Any], dict[str, Any]], seed: int, change: Mapping[str, Any], only: str = ""
) -> dict[str, Any]:
    """The same for every row: so many epochs, the best on validation kept, everything else as it comes."""
    source, inputs, tasks = made
    return {
        "data": {"train": str(source), "split": "split"},
        "inputs": inputs,
        "tasks": {only: tasks[only]} if only else tasks,
        "fusion": "concat",
        "training": {"epochs": EPOCHS[table], "patience": None, "seed": seed, "device": "cpu"},
        **change,
    }


def measure(job: study.Job, folder: Path) -> dict[str, Any]:
    """Train, and keep each task's score, whether more of it is better, and what validation said."""
    import torch

    import motet

    torch.set_num_threads(1)
    report = motet.fit(job.experiment, out=folder).report.content
    metrics = {task: one["metrics"][one["primary"]] for task, one in report["tasks"].items()}
    return {
        "scores": {task: [one["value"], one["higher_is_better"]] for task, one in metrics.items()},
        "validation gain": report["training"]["gain"],
        "seconds": report["training"]["seconds"],
        "parameters": report["training"]["parameters"],
    }


def single(table: str, tasks: list[str], seed: int, found: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of one model per task; nothing where one is missing."""
    runs = {task: found.get(f"{table} | {SINGLE} {task} | {seed}") for task in tasks}
    return {task: run["scores"][task] for task, run in runs.items() if run} if all(runs.values()) else {}


def relative_gain(scores: Mapping[str, Any], alone: Mapping[str, Any]) -> float:
    """The mean over tasks of `(m - s) / |s|`, in percent, s being the score of a model for that task alone.

    Turned round where less is better (Maninis et al., CVPR 2019).
    """
    gains = [(m - alone[t][0]) / abs(alone[t][0]) * (1 if better else -1) for t, (m, better) in scores.items()]
    return 100 * sum(gains) / len(gains)


def summary(
    gains: Mapping[str, Mapping[str, Mapping[int, float]]], found: Mapping[str, Any], *, seeds: int, plain: str
) -> str:
    """One line per row: its mean gain on each table, and over all, its mean rank, and what validation said.

    The last is the gain on the validation rows less that of the plain row, with the interval over tables.
    """
    tables, rows = list(gains), list(next(iter(gains.values())))
    ranks: dict[str, list[int]] = {row: [] for row in rows}
    for table in tables:
        for seed in range(seeds):
            there = {row: gains[table][row][seed] for row in rows if seed in gains[table][row]}
            for place, row in enumerate(sorted(there, key=lambda one: -there[one]), start=1):
                ranks[row].append(place)
    lines = []
    for row in rows:
        every = [gain for table in tables for gain in gains[table][row].values()]
        valid = [ahead for table in tables if (ahead := _ahead(found, table, row, plain, seeds)) is not None]
        cells = [study.shown(list(gains[table][row].values()), wanted=seeds) for table in tables]
        if every:
            means = [sum(values) / len(values) for values in (ranks[row], every)]
            text = [f"{means[0]:.1f}", f"{means[1]:+.2f}", study.shown(valid, wanted=0)]
            lines.append((means[0], f"| {row} | {' | '.join(text + cells)} |"))
        else:
            lines.append((1e9, f"| {row} | not run |"))
    head = ["", "mean rank", "mean gain %", f"validation, over {plain}", *tables]
    return "\n".join([f"| {' | '.join(head)} |", "| --- " * len(head) + "|", *(line for _, line in sorted(lines))])


def _ahead(found: Mapping[str, Any], table: str, row: str, plain: str, seeds: int) -> float | None:
    """How far the row is ahead of the plain one on a table's validation rows, the mean over seeds."""
    pairs = [[found.get(f"{table} | {one} | {seed}") for one in (row, plain)] for seed in range(seeds)]
    apart = [mine["validation gain"] - base["validation gain"] for mine, base in pairs if mine and base]
    return sum(apart) / len(apart) if apart else None


if __name__ == "__main__":
    main()
