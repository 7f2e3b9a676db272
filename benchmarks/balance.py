"""P2, P3 and P8: a gradient-balanced step beside the summed-loss step of the same model, and TorchJD on the same model.

Three trunks that take most of the step (perceptron, convolutions, transformer), K linear heads. All sides run
interleaved in one process, one thread; each round times every side, ratios are taken within the round. Memory is the
most the step adds, by torch's profiler. Prints markdown tables, and keeps what was measured in benchmarks/results, so
that it goes on where it stopped.

    python benchmarks/balance.py [--minutes 30] [--trunks mlp cnn transformer] [--only nash]
"""

import argparse
import itertools
import json
import random
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from motet import balance
from motet.balance import Fixed, Junction
from motet.balance.base import BalancerSpec
from motet.spec.registry import ROOMS

RESULTS = Path(__file__).parent / "results" / "balance.jsonl"
COUNTS = (2, 4, 8, 16)
FEATURES = 256
REFERENCE = "summed loss"
TORCHJD = {"mgda": "MGDA", "upgrad": "UPGrad", "pcgrad": "PCGrad", "imtl": "IMTLG", "aligned": "AlignedMTL"}
"""Methods of TorchJD that need no solver of a third party, beside ours."""
SCALED = (REFERENCE, "mgda", "nash", "upgrad")
Step = Callable[[Tensor, Tensor], None]


def mlp() -> tuple[nn.Module, Tensor]:
    """Four layers of 512 behind 256 rows of 256 numbers."""
    widths = [256, 512, 512, 512, FEATURES]
    layers = [part for a, b in itertools.pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers), torch.randn(256, 256)


def cnn() -> tuple[nn.Module, Tensor]:
    """Three convolutions over 64 pictures of 3 x 32 x 32."""
    layers: list[nn.Module] = []
    for before, after in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(512, FEATURES)), torch.randn(
        64, 3, 32, 32
    )


class Mean(nn.Module):
    """The mean token."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=1)


def transformer() -> tuple[nn.Module, Tensor]:
    """Three layers of width 128 over 32 rows of 32 tokens."""
    layer = nn.TransformerEncoderLayer(128, 4, 256, dropout=0.0, batch_first=True, norm_first=True)
    encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
    return nn.Sequential(encoder, Mean(), nn.Linear(128, FEATURES)), torch.randn(32, 32, 128)


TRUNKS = {"mlp": mlp, "cnn": cnn, "transformer": transformer}


class Model(nn.Module):
    """Trunk, junction, one linear head per task."""

    def __init__(self, trunk: str, num_tasks: int, balancer: BalancerSpec) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk, _ = TRUNKS[trunk]()
        self.tasks = [f"t{index:02}" for index in range(num_tasks)]
        self.junction = Junction(balancer, tasks=self.tasks)
        self.heads = nn.ModuleDict({task: nn.Linear(FEATURES, 1) for task in self.tasks})
        self.optimizer = torch.optim.SGD(self.parameters(), lr=1e-5)

    def losses(self, z: Mapping[str, Tensor], y: Tensor) -> dict[str, Tensor]:
        return {t: (self.heads[t](z[t])[:, 0] - y[:, index]).pow(2).mean() for index, t in enumerate(self.tasks)}


def plain_step(trunk: str, num_tasks: int) -> Step:
    model = Model(trunk, num_tasks, Fixed())

    def step(x: Tensor, y: Tensor) -> None:
        model.optimizer.zero_grad()
        z = model.trunk(x)
        torch.stack(list(model.losses(dict.fromkeys(model.tasks, z), y).values())).sum().backward()
        model.optimizer.step()

    return step


def junction_step(trunk: str, num_tasks: int, balancer: BalancerSpec) -> Step:
    model = Model(trunk, num_tasks, balancer)

    def step(x: Tensor, y: Tensor) -> None:
        model.optimizer.zero_grad()
        losses = model.losses(model.junction(model.trunk(x)), y)
        model.junction.total(losses).backward()
        model.optimizer.step()
        told = {task: float(loss.detach()) for task, loss in losses.items()}
        again = None
        if model.junction.balancer.looks_again:
            with torch.no_grad():
                z = model.trunk(x)
                again = {t: float(loss) for t, loss in model.losses(dict.fromkeys(model.tasks, z), y).items()}
        model.junction.after_step(told, again)

    return step


def torchjd_step(trunk: str, num_tasks: int, method: str) -> Step:
    from torchjd import aggregation
    from torchjd.autojac import jac_to_grad, mtl_backward

    model, aggregator = Model(trunk, num_tasks, Fixed()), getattr(aggregation, method)()

    def step(x: Tensor, y: Tensor) -> None:
        model.optimizer.zero_grad()
        z = model.trunk(x)
        mtl_backward(list(model.losses(dict.fromkeys(model.tasks, z), y).values()), features=z)
        jac_to_grad(model.trunk.parameters(), aggregator)
        model.optimizer.step()

    return step


def sides() -> dict[str, Callable[[str, int], Step]]:
    """Every method at the features, one of them exactly, and TorchJD's, which are all exact."""
    found: dict[str, Callable[[str, int], Step]] = {REFERENCE: plain_step}
    for kind, cls in ROOMS["balance.tasks"].items():
        if kind != "torchjd":
            found[kind] = lambda trunk, count, cls=cls: junction_step(trunk, count, cls())  # type: ignore[misc]
    found["mgda, at parameters"] = lambda t, count: junction_step(t, count, balance.MGDA(at="parameters"))
    for kind, name in TORCHJD.items():
        found[f"TorchJD {kind}"] = lambda trunk, count, name=name: torchjd_step(trunk, count, name)  # type: ignore[misc]
    return found


def measure(trunk: str, num_tasks: int, wanted: Mapping[str, Callable[[str, int], Step]]) -> dict[str, Any]:
    """The times of each side's steps, round by round, and the memory of one step."""
    _, x = TRUNKS[trunk]()
    y = torch.randn(len(x), num_tasks)
    steps = {name: build(trunk, num_tasks) for name, build in wanted.items()}
    order, times = random.Random(0), {name: list[float]() for name in steps}
    for index in range(10):  # the first round warms up
        for name, step in order.sample(list(steps.items()), len(steps)):
            begun = time.perf_counter()
            for _ in range(2):
                step(x, y)
            if index:
                times[name].append((time.perf_counter() - begun) / 2)
    return {name: {"ms": [1e3 * one for one in times[name]], "MB": peak(step, x, y)} for name, step in steps.items()}


def scaling(trunk: str) -> dict[str, list[float]]:
    """How much longer a step of 16 tasks takes than one of a single task, round by round (P8)."""
    _, x = TRUNKS[trunk]()
    steps = {
        (name, count): (build(trunk, count), torch.randn(len(x), count))
        for name, build in sides().items()
        if name in SCALED
        for count in (1, COUNTS[-1])
    }
    times: dict[tuple[str, int], list[float]] = {key: [] for key in steps}
    order = random.Random(0)
    for index in range(12):
        for key, (step, y) in order.sample(list(steps.items()), len(steps)):
            begun = time.perf_counter()
            for _ in range(2):
                step(x, y)
            if index:
                times[key].append(time.perf_counter() - begun)
    return {name: [b / a for a, b in zip(times[name, 1], times[name, COUNTS[-1]], strict=True)] for name in SCALED}


def peak(step: Step, x: Tensor, y: Tensor) -> float:
    """The most memory that tensors of one step hold at once, in MB."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step(x, y)
    held = most = 0
    for event in sorted(seen.profiler.kineto_results.events(), key=lambda one: one.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--trunks", nargs="*", default=list(TRUNKS), choices=list(TRUNKS))
    parser.add_argument("--only", nargs="*", help="these sides, beside the summed loss")
    parser.add_argument("--scaling", action="store_true", help="instead: a step of 16 tasks to one of a single task")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.scaling:
        for trunk in options.trunks:
            for name, ratios in scaling(trunk).items():
                print(f"| {trunk} | {name} | {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}) |")
        return
    wanted = {name: build for name, build in sides().items() if not options.only or name in (REFERENCE, *options.only)}
    found = (
        {tuple(one["key"]): one for one in map(json.loads, RESULTS.read_text().splitlines())}
        if RESULTS.is_file()
        else {}
    )
    deadline = time.monotonic() + 60 * options.minutes
    for trunk in options.trunks:
        for count in COUNTS:
            missing = {n: b for n, b in wanted.items() if (trunk, count, n) not in found or n == REFERENCE}
            if len(missing) > 1 and time.monotonic() < deadline:
                measured = measure(trunk, count, missing)
                base = measured[REFERENCE]
                for name, one in measured.items():
                    ratios = [mine / plain for mine, plain in zip(one["ms"], base["ms"], strict=True)]
                    entry = {"key": [trunk, count, name], "ms": statistics.median(one["ms"]), "ratios": ratios}
                    found[trunk, count, name] = entry | {"extra MB": one["MB"] - base["MB"]}
        RESULTS.write_text("".join(json.dumps(one) + "\n" for one in found.values()))
        print(f"\n### {trunk}\n\n{table(trunk, found, list(wanted))}", flush=True)


def table(trunk: str, found: Mapping[tuple[str, int, str], dict[str, Any]], names: list[str]) -> str:
    """Ratio to the summed loss, median and range, at each K, and the memory at the largest."""
    lines = ["| side | " + " | ".join(f"K = {count}" for count in COUNTS) + f" | MB more at {COUNTS[-1]} |"]
    lines.append("|---" * (len(COUNTS) + 2) + "|")
    for name in names:
        cells = []
        for count in COUNTS:
            one = found.get((trunk, count, name))
            ratios = one["ratios"] if one else []
            cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if ratios else "-")
        last = found.get((trunk, COUNTS[-1], name))
        lines.append(f"| {name} | {' | '.join(cells)} | {last['extra MB']:.1f} |" if last else f"| {name} | not run |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
