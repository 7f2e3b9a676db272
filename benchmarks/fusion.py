"""What each fusion costs beside `concat`, and what an absent input saves.

1. Forward and backward of every operator, alone, on the same tokens: 2, 4 and 8 inputs of 16 tokens, width 128. All
   operators take turns within each round; ratios are taken within the round.
2. A training step of a model of four pictures (encoder-bound) whose rows have half of their inputs, beside the same
   step with all of them there.

One thread. Prints markdown tables.

    python benchmarks/fusion.py [--quick]
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from motet import balance, inputs, sharing, tasks
from motet.core.errors import SpecError
from motet.core.flow import Batch, Cells, Tokens
from motet.fusion import Concat
from motet.fusion.base import FusionSpec
from motet.model import assemble
from motet.nn.keyed import row_keys
from motet.spec import ROOMS
from motet.training import train_step

BATCH, TOKENS, WIDTH = 64, 16, 128
Step = Callable[[], object]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, 2 inputs only")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    rounds = 3 if quick else 9
    print(f"batch {BATCH}, {TOKENS} tokens an input, width {WIDTH}; {rounds} rounds, 1 thread\n")
    print("| inputs | fusion | ms, forward and backward | ratio to concat: median | range |\n|---|---|---|---|---|")
    for count in (2,) if quick else (2, 4, 8):
        steps = {name: step for name, spec in specs().items() if (step := operator_step(spec, count)) is not None}
        lines(count, timed(steps, rounds=rounds, each=3), base="concat")
    print(f"\nfour pictures of 64 x 64, {rounds} rounds\n")
    print("| side | ms per step | times as fast: median | range |\n|---|---|---|---|")
    times = timed({"all inputs": model_step(1.0), "half absent": model_step(0.5)}, rounds=rounds, each=2)
    ratios = [whole / half for whole, half in zip(times["all inputs"], times["half absent"], strict=True)]
    for name, values in times.items():
        faster = f"{statistics.median(ratios):.2f} | {min(ratios):.2f}-{max(ratios):.2f}" if "half" in name else "1 | "
        print(f"| {name} | {1e3 * statistics.median(values):.1f} | {faster} |")


def specs() -> dict[str, FusionSpec]:
    """Every kind as it comes, and `concat` of maps."""
    found = [cls() for cls in ROOMS["fusion"].values()]
    return {spec.kind: spec for spec in found if isinstance(spec, FusionSpec)} | {"concat of maps": Concat(level="map")}


def operator_step(spec: FusionSpec, count: int) -> Step | None:
    """Forward and backward of one operator; None where it refuses so many inputs."""
    torch.manual_seed(0)
    names = [f"input {index}" for index in range(count)]
    try:
        fusion = spec.build(dict.fromkeys(names, WIDTH))
    except SpecError:
        return None
    mask = torch.ones(BATCH, TOKENS, dtype=torch.bool)
    keys = torch.arange(BATCH)
    values = {name: torch.randn(BATCH, TOKENS, WIDTH, requires_grad=True) for name in names}
    tokens = {name: Tokens(values[name], mask, mask[:, 0]) for name in names}

    def step() -> None:
        with row_keys(keys):  # dropout is that of training
            streams = fusion(tokens)
        torch.stack(
            [(fused.weight[:, None] * fused.pooled).square().sum() for fused in streams.values()]
        ).sum().backward()

    return step


def model_step(present: float) -> Step:
    """A training step on four pictures a row, each there with this probability."""
    spec, label = inputs.Image(size=(64, 64), channels=3, drop=0.0), tasks.Regression()
    generator = np.random.default_rng(0)
    preparation = spec.fit([generator.integers(0, 255, (64, 64, 3), dtype=np.uint8)])
    names = ["back", "front", "garden", "street"]
    network = assemble(
        inputs=dict.fromkeys(names, (spec, preparation)),
        tasks={"price": (label, label.fit([0.0, 1.0]))},
        fusion=Concat(),
        sharing=sharing.Hard(),
        task_balance=balance.Fixed(),
        modality_balance=balance.NoThrottle(),
    )
    pixels = preparation.batch(list(generator.integers(0, 255, (BATCH, 64, 64, 3), dtype=np.uint8)))
    order = torch.from_numpy(np.argsort(generator.random((BATCH, len(names))), axis=1))
    there = {name: order[:, place] < round(present * len(names)) for place, name in enumerate(names)}
    target = Cells({"target": torch.randn(BATCH)}, torch.ones(BATCH, dtype=torch.bool))
    batch = Batch({name: Cells(pixels, there[name]) for name in names}, {"price": target}, torch.arange(BATCH))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    return lambda: train_step(network, optimizer, [batch], priorities={"price": 1.0}, seed=0, step=0)


def timed(steps: dict[str, Step], *, rounds: int, each: int) -> dict[str, list[float]]:
    """Seconds a step, by side and round; the sides take turns in random order, and a first round warms up."""
    order = random.Random(0)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for index in range(rounds + 1):
        sums = dict.fromkeys(steps, 0.0)
        for _ in range(each):
            for name, step in order.sample(list(steps.items()), len(steps)):
                start = time.perf_counter()
                step()
                sums[name] += time.perf_counter() - start
        if index:
            for name, total in sums.items():
                times[name].append(total / each)
    return times


def lines(count: int, times: dict[str, list[float]], *, base: str) -> None:
    """The rows of one number of inputs, cheapest first."""
    for name in sorted(times, key=lambda one: statistics.median(times[one])):
        ratios = [value / one for value, one in zip(times[name], times[base], strict=True)]
        spread = f"{statistics.median(ratios):.1f} | {min(ratios):.1f}-{max(ratios):.1f}"
        print(f"| {count} | {name} | {1e3 * statistics.median(times[name]):.2f} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
