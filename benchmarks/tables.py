"""Accuracy on real tables: `motet init` and `motet train` as a user would call them, several seeds, one markdown table.

Reads the folder named by MOTET_DATA (default: ../shared/data beside the repository). Each finished run stays in
runs/tables and is not trained again, so the script goes on where it was stopped; `--minutes` bounds one call.

    python benchmarks/tables.py [--seeds 3] [--minutes 30]
"""

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from motet.run.report import Report

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "runs" / "tables"


@dataclass(frozen=True)
class Case:
    """A table, its tasks, and for each task the metric shown beside a linear baseline measured elsewhere."""

    name: str
    table: str
    tasks: dict[str, tuple[str, str]]
    changes: tuple[str, ...] = ()


CASES = (
    Case(
        "av_digits",
        "av_digits/table.csv",
        {"digit": ("accuracy", ".993"), "parity": ("accuracy", "-"), "speaker": ("accuracy", ".993")},
    ),
    Case(
        "adult_census",
        "adult_census/data.parquet",
        {
            "income-per-year": ("auroc", ".928, which also sees marital status and education"),
            "marital-status": ("accuracy", "-"),
            "education-num": ("accuracy", "-"),
        },
    ),
    Case(
        "meld_text",
        "meld_text/manifest.csv",
        {"emotion": ("weighted_f1", ".469"), "sentiment": ("weighted_f1", ".554")},
        ("tasks.emotion.metric=weighted_f1", "tasks.sentiment.metric=weighted_f1"),
    ),
)


def main() -> None:
    """Train what is not trained yet, then print the table of what is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=30.0)
    options = parser.parse_args()
    data = Path(os.environ.get("MOTET_DATA", ROOT.parent / "shared" / "data"))
    if not data.is_dir():
        sys.exit(f"the real tables are not at {data}; set MOTET_DATA")
    deadline = time.monotonic() + 60 * options.minutes
    for seed in range(options.seeds):
        for case in CASES:
            if time.monotonic() < deadline:
                train(case, data, seed)
    print(
        "| table | task | metric | test score (95 % interval) by seed | trivial | linear |\n|---|---|---|---|---|---|"
    )
    for case in CASES:
        print("\n".join(lines(case, options.seeds)))


def train(case: Case, data: Path, seed: int) -> None:
    """One run, unless it is there; its wall time goes into a file beside it."""
    folder, experiment = RUNS / f"{case.name}-{seed}", RUNS / f"{case.name}.yaml"
    if (folder / "report.json").is_file():
        return
    RUNS.mkdir(parents=True, exist_ok=True)
    tasks = [word for task in case.tasks for word in ("--task", task)]
    motet("init", str(data / case.table), *tasks, "-o", str(experiment), "--force")
    changes = [word for change in (*case.changes, f"training.seed={seed}") for word in ("--set", change)]
    begun = time.monotonic()
    motet("train", str(experiment), "--out", str(folder), "--resume", *changes)
    (folder / "seconds.txt").write_text(f"{time.monotonic() - begun:.0f}\n")


def motet(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "motet.cli", *words], check=True, stdout=subprocess.DEVNULL)


def lines(case: Case, seeds: int) -> list[str]:
    """The rows of the table for one data set."""
    folders = [RUNS / f"{case.name}-{seed}" for seed in range(seeds)]
    reports = [Report.of_run(folder) for folder in folders if (folder / "report.json").is_file()]
    found = []
    for task, (metric, linear) in case.tasks.items():
        figures = [report[task][metric] for report in reports]
        scores = ", ".join(f"{one.value:.4f} ({one.low:.4f} to {one.high:.4f})" for one in figures)
        trivial = f"{figures[0].baseline:.3f}" if figures else "-"
        found.append(f"| {case.name} | {task} | {metric} | {scores or 'not run'} | {trivial} | {linear} |")
    return found


if __name__ == "__main__":
    main()
