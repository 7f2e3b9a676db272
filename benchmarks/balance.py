"""P2: a gradient-balanced step beside the summed-loss step of the same model, and TorchJD on the same model.

Trunk-bound: a perceptron of several wide layers, shared features of motet's default width (256) or as wide as the
trunk (the worst case: the Gram costs K^2 times the features), K linear heads. All sides run interleaved in one
process, one thread; each round times every side, ratios are taken within the round. Prints a markdown table.

    python benchmarks/balance.py [--quick]
"""

import argparse
import itertools
import random
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from motet.balance import MGDA, Fixed, Junction
from motet.balance.base import BalancerSpec

BATCH, INPUT, WIDTH, LAYERS = 256, 256, 512, 4
FEATURES = (256, WIDTH)


class Model(nn.Module):
    """Trunk, junction, one linear head per task."""

    def __init__(self, num_tasks: int, features: int, balancer: BalancerSpec) -> None:
        super().__init__()
        torch.manual_seed(0)
        widths = [INPUT, *[WIDTH] * (LAYERS - 1), features]
        layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in itertools.pairwise(widths)]
        self.trunk = nn.Sequential(*layers)
        self.tasks = [f"t{index}" for index in range(num_tasks)]
        self.junction = Junction(balancer, tasks=self.tasks)
        self.heads = nn.ModuleDict({task: nn.Linear(features, 1) for task in self.tasks})
        self.optimizer = torch.optim.SGD(self.parameters(), lr=1e-4)

    def losses(self, z: dict[str, Tensor], y: Tensor) -> dict[str, Tensor]:
        return {t: (self.heads[t](z[t])[:, 0] - y[:, index]).pow(2).mean() for index, t in enumerate(self.tasks)}


def plain_step(num_tasks: int, features: int) -> Callable[[Tensor, Tensor], None]:
    model = Model(num_tasks, features, Fixed())

    def step(x: Tensor, y: Tensor) -> None:
        model.optimizer.zero_grad()
        z = model.trunk(x)
        torch.stack(list(model.losses(dict.fromkeys(model.tasks, z), y).values())).sum().backward()
        model.optimizer.step()

    return step


def junction_step(num_tasks: int, features: int, balancer: BalancerSpec) -> Callable[[Tensor, Tensor], None]:
    model = Model(num_tasks, features, balancer)

    def step(x: Tensor, y: Tensor) -> None:
        model.optimizer.zero_grad()
        model.junction.total(model.losses(model.junction(model.trunk(x)), y)).backward()
        model.optimizer.step()

    return step


def torchjd_step(num_tasks: int, features: int, method: str) -> Callable[[Tensor, Tensor], None]:
    from torchjd import aggregation
    from torchjd.autojac import jac_to_grad, mtl_backward

    model, aggregator = Model(num_tasks, features, Fixed()), getattr(aggregation, method)()

    def step(x: Tensor, y: Tensor) -> None:
        model.optimizer.zero_grad()
        z = model.trunk(x)
        losses = model.losses(dict.fromkeys(model.tasks, z), y)
        mtl_backward(list(losses.values()), features=z)
        jac_to_grad(model.trunk.parameters(), aggregator)
        model.optimizer.step()

    return step


def measure(num_tasks: int, features: int, rounds: int, steps: int) -> dict[str, list[float]]:
    sides = {
        "summed loss": plain_step(num_tasks, features),
        "motet Fixed": junction_step(num_tasks, features, Fixed()),
        "motet MGDA": junction_step(num_tasks, features, MGDA()),
    }
    for method in ("MGDA", "UPGrad"):
        try:
            sides[f"TorchJD {method}"] = torchjd_step(num_tasks, features, method)
        except ImportError as error:
            print(f"(TorchJD {method} left out: {error})", file=sys.stderr)
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(BATCH, INPUT, generator=generator), torch.randn(BATCH, num_tasks, generator=generator)
    order = random.Random(0)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for index in range(rounds + 1):
        sums = dict.fromkeys(sides, 0.0)
        for _ in range(steps):  # sides take turns in a random order, so that a busy moment or a cold cache hits all
            for name, step in order.sample(list(sides.items()), len(sides)):
                start = time.perf_counter()
                step(x, y)
                sums[name] += time.perf_counter() - start
        if index:  # the first round warms up
            for name, total in sums.items():
                times[name].append(total / steps)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few steps, K = 2 and 8")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    rounds, steps = (7, 3) if quick else (9, 10)
    print(
        f"batch {BATCH}, {LAYERS} layers of {WIDTH}, the last as wide as the features; "
        f"{rounds} rounds of {steps} steps, 1 thread\n"
    )
    print("| features | K | side | ms/step | ratio to summed loss: median | range |\n|---|---|---|---|---|---|")
    for features, num_tasks in itertools.product(FEATURES, (2, 8) if quick else (2, 4, 8, 16)):
        times = measure(num_tasks, features, rounds, steps)
        for name, values in times.items():
            ratios = [value / base for value, base in zip(values, times["summed loss"], strict=True)]
            spread = f"{statistics.median(ratios):.3f} | {min(ratios):.3f}-{max(ratios):.3f}"
            print(
                f"| {features} | {num_tasks} | {name} | {1e3 * statistics.median(values):.1f} | {spread} |", flush=True
            )


if __name__ == "__main__":
    main()
