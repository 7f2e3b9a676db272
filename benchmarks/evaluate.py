"""What it costs to answer every subset of the inputs beside answering once, and to score them all.

10,000 rows, 5 inputs, so 32 subsets, of two models: a picture of 32 x 32, a text of some 20 words and three numbers,
with the encoders as they come (`mixed`); and five `numbers`, which cost next to nothing to encode. `answers` is what
the network takes, batches included: inputs are encoded once, fusion and heads run again for each subset. `report` has
the bootstrap as well: on one side the intervals of all metrics, on the other those, and the contributions on all rows.

Both sides take turns within each round, ratios are taken within the round. One thread. Prints a markdown table.

    python benchmarks/evaluate.py [--rows 10000] [--rounds 5] [--only numbers]
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import torch

from motet import balance, inputs, sharing, tasks
from motet.core.flow import Batch, Cells
from motet.evaluation import TaskRows, contributions, score
from motet.fusion import Concat
from motet.inputs.base import InputSpec, Preparation
from motet.model import Collected, assemble, collect

BATCH = 256
CODEC = tasks.Binary().fit(["no", "yes"])
Columns = Mapping[str, tuple[InputSpec, Preparation, list[np.ndarray]]]


def main() -> None:
    """Print one line for each model and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(MODELS), help="one of the models")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{given.rows:,} rows, 5 inputs, 32 subsets, batches of {BATCH}; {given.rounds} rounds, 1 thread\n")
    print("| model | measure | once, s | all subsets, s | ratio: median | range |\n|---|---|---|---|---|---|")
    for name in [given.only] if given.only else MODELS:
        for measure, sides in sides_of(MODELS[name](given.rows)).items():
            once, whole = timed(sides, rounds=given.rounds)
            ratios = [many / one for one, many in zip(once, whole, strict=True)]
            seconds = f"{statistics.median(once):.2f} | {statistics.median(whole):.2f}"
            spread = f"{statistics.median(ratios):.2f} | {min(ratios):.2f}-{max(ratios):.2f}"
            print(f"| {name} | {measure} | {seconds} | {spread} |", flush=True)


def numbers(num_rows: int) -> Columns:
    """Five columns of numbers."""
    draw = np.random.default_rng(0)
    return {name: column(inputs.Number(), draw.standard_normal(num_rows).tolist()) for name in "abcde"}


def mixed(num_rows: int) -> Columns:
    """A picture, a text and three numbers."""
    draw = np.random.default_rng(0)
    words = [f"word{index}" for index in range(500)]
    pictures = list(draw.integers(0, 255, (num_rows, 32, 32, 3), dtype=np.uint8))
    texts = [" ".join(draw.choice(words, size=draw.integers(10, 30))) for _ in range(num_rows)]
    return {
        "picture": column(inputs.Image(size=(32, 32)), pictures),
        "text": column(inputs.Text(), texts),
        **{name: column(inputs.Number(), draw.standard_normal(num_rows).tolist()) for name in "abc"},
    }


def column(spec: InputSpec, cells: list[Any]) -> tuple[InputSpec, Preparation, list[np.ndarray]]:
    """Fitted on the first thousand cells; every cell read."""
    preparation = spec.fit(cells[:1000])
    return spec.resolved(preparation), preparation, [preparation.read(cell) for cell in cells]


def sides_of(columns: Columns) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """For each measure what is done once, and what for all subsets."""
    torch.manual_seed(0)
    network = assemble(
        inputs={name: (spec, preparation) for name, (spec, preparation, _) in columns.items()},
        tasks={"y": (tasks.Binary(), CODEC)},
        fusion=Concat(),
        sharing=sharing.Hard(),
        task_balance=balance.Fixed(),
        modality_balance=balance.NoThrottle(),
    )
    names = sorted(columns)
    subsets = [subset for size in range(6) for subset in combinations(names, size)]
    absent = [[name for name in names if name not in subset] for subset in subsets]

    def once() -> Collected:
        return collect(network, batches(columns))[0]

    def every() -> list[Collected]:
        return collect(network, batches(columns), absent=absent)

    def report_once() -> object:
        return score(CODEC, *once().scored("y"), seed=0)

    def report_every() -> object:
        found = every()
        by_subset = dict(zip(subsets, found, strict=True))
        rows = TaskRows(CODEC, "auroc", found[0].targets["y"], found[0].labelled["y"])
        shared = contributions(lambda one: by_subset[one].outputs, inputs=names, tasks={"y": rows}, seed=0)
        return score(CODEC, *found[-1].scored("y"), seed=0), shared

    return {"answers": (once, every), "report": (report_once, report_every)}


def batches(columns: Columns) -> Iterator[Batch]:
    """All rows, prepared batch by batch as a run does."""
    num_rows = min(len(items) for _, _, items in columns.values())
    for start in range(0, num_rows, BATCH):
        rows = torch.arange(start, min(start + BATCH, num_rows))
        there = torch.ones(len(rows), dtype=torch.bool)
        cells = {
            name: Cells(preparation.batch(items[start : start + BATCH]), there)
            for name, (_, preparation, items) in columns.items()
        }
        yield Batch(cells, {"y": Cells({"target": (rows % 2).float()}, there)}, rows)


def timed(sides: tuple[Callable[[], object], Callable[[], object]], *, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each side by round; they take turns in random order, and a first round warms up."""
    order = random.Random(0)
    times: tuple[list[float], list[float]] = ([], [])
    for index in range(rounds + 1):
        for side in order.sample([0, 1], 2):
            start = time.perf_counter()
            sides[side]()
            if index:
                times[side].append(time.perf_counter() - start)
    return times


MODELS = {"mixed": mixed, "numbers": numbers}

if __name__ == "__main__":
    main()
