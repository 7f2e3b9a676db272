"""What a gradient balancer takes for its K x K matrix, and how exact its weights are, beside TorchJD's.

Every method of motet that needs the Gram matrix alone, found through the room's union, at its defaults; TorchJD's
weighting of the same method where it has one and its solver is installed. One thread; the sides take turns, each on the
same matrices. Prints markdown tables: milliseconds per call, of the processor and not of the clock on the wall, and the
largest error over the matrices, where one is defined.

    python benchmarks/solvers.py [--quick] [--only cagrad nash] [--counts 16]
"""

import argparse
import os
import statistics
import sys
import time
import typing
from collections.abc import Callable, Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from motet import balance
from motet.balance.base import GradientSpec
from motet.balance.simplex import min_norm_weights

COUNTS, QUICK_COUNTS = (2, 4, 8, 16, 32, 64), (2, 16)
WIDTH = 256
SECONDS, QUICK_SECONDS = 0.3, 0.02
Solve = Callable[[Tensor], Tensor]
Make = Callable[[str, int], Solve | None]
Array = np.ndarray


def rows_of(family: str, num_tasks: int, seed: int) -> Array:
    """K gradients of 256 numbers each; those that conflict have lost nine tenths of their mean.

    Those that nearly depend on each other are combinations of four but for a part in 100,000.
    """
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((num_tasks, WIDTH))
    if family == "nearly dependent":
        rows = rng.standard_normal((num_tasks, 4)) @ rng.standard_normal((4, WIDTH)) + 1e-5 * rows
    if family == "conflicting":
        rows -= 0.9 * rows.mean(axis=0)
    if family == "lengths 1 to 1e8":
        rows *= 10.0 ** rng.uniform(0, 8, (num_tasks, 1))
    return rows


def methods() -> dict[str, type[GradientSpec]]:
    """The Specs of the union whose methods need the Gram matrix alone, by kind; not TorchJD's own."""
    union = typing.get_args(balance.AnyTaskBalancer)[0]
    found = [cls for cls in typing.get_args(union) if issubclass(cls, GradientSpec) and cls.needs == "gram"]
    return {cls.word(): cls for cls in sorted(found, key=lambda cls: cls.word()) if cls.word() != "torchjd"}


def ours(kind: str, num_tasks: int) -> Solve:
    spec = methods()[kind]()
    names = [f"t{index:02}" for index in range(num_tasks)]
    balancer = spec.build(names)
    balancer.weigh({name: torch.tensor(1.0 + index) for index, name in enumerate(names)})
    return lambda gram: balancer.combine(gram, names)


def theirs(kind: str, num_tasks: int) -> Solve | None:
    """TorchJD's weighting, at motet's defaults where the two can be set; Nash's wants rows: a root of the matrix."""
    from torchjd import aggregation

    makers: dict[str, Callable[[], Solve]] = {
        "aligned": aggregation.AlignedMTLWeighting,
        "cagrad": lambda: aggregation.CAGradWeighting(c=balance.CAGrad().c),
        "dualproj": aggregation.DualProjWeighting,
        "fairgrad": lambda: aggregation.FairGradWeighting(alpha=balance.FairGrad().alpha),
        "gradvac": aggregation.GradVacWeighting,
        "imtl": aggregation.IMTLGWeighting,
        "mgda": aggregation.MGDAWeighting,
        "nash": lambda: nash_on_roots(num_tasks),
        "pcgrad": aggregation.PCGradWeighting,
        "upgrad": aggregation.UPGradWeighting,
    }
    return makers[kind]() if kind in makers else None


def nash_on_roots(num_tasks: int) -> Solve:
    from torchjd.aggregation import NashMTL

    weighting = NashMTL(n_tasks=num_tasks).weighting
    return lambda gram: weighting(torch.linalg.cholesky(gram))


def gap_of_mgda(rows: Array, weights: Array) -> float:
    """`max_k (|g_w|^2 - g_k^T g_w) / (|g_w| |g_k|)`."""
    shortest = weights @ rows
    gaps = shortest @ shortest - rows @ shortest
    return float((gaps / np.linalg.norm(rows, axis=1)).max() / np.linalg.norm(shortest))


def projection(rows: Array, x: Array) -> Array:
    """That of x on `{d : rows d >= 0}`, by nonnegative least squares in the space of the gradients."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    size = np.linalg.norm(x)
    return np.asarray(x + size * (nnls(unit.T, -x / size, maxiter=100 * len(rows))[0] @ unit))


def error_of_upgrad(rows: Array, weights: Array) -> float:
    """`|d - 1/K sum_i p(g_i)| / mean_k |g_k|`."""
    expected = np.mean([projection(rows, row) for row in rows], axis=0)
    return float(np.linalg.norm(weights @ rows - expected) / np.linalg.norm(rows, axis=1).mean())


def error_of_dualproj(rows: Array, weights: Array) -> float:
    """`|d - p(g_0)| / mean_k |g_k|`."""
    expected = projection(rows, rows.mean(axis=0))
    return float(np.linalg.norm(weights @ rows - expected) / np.linalg.norm(rows, axis=1).mean())


def gap_of_cagrad(rows: Array, weights: Array) -> float:
    """`(g_w^T g_0 + c |g_0| |g_w| - min_k g_k^T d) / (|g_0| sum_k w_k |g_k|)`."""
    mean, added = rows.mean(axis=0), np.maximum(weights - 1 / len(rows), 0.0)
    w = added / added.sum() if added.any() else min_norm_weights(rows @ rows.T)
    size, g_w = np.linalg.norm(mean), w @ rows
    dual = g_w @ mean + balance.CAGrad().c * size * np.linalg.norm(g_w)
    return float((dual - (rows @ (weights @ rows)).min()) / (size * (w @ np.linalg.norm(rows, axis=1))))


def spread_of_nash(rows: Array, weights: Array) -> float:
    """`max_k |a_k g_k^T d / mean_j(a_j g_j^T d) - 1|`: all are equal, whatever the length of d."""
    products = weights * (rows @ (weights @ rows))
    return float(np.abs(products / products.mean() - 1).max())


def spread_of_fairgrad(rows: Array, weights: Array) -> float:
    """`max_k |w_k^(1/alpha) g_k^T d / mean_j(w_j^(1/alpha) g_j^T d) - 1|`."""
    products = weights ** (1 / balance.FairGrad().alpha) * (rows @ (weights @ rows))
    return float(np.abs(products / products.mean() - 1).max())


def spread_of_projections(rows: Array, weights: Array) -> float:
    """`max_k |u_k^T d / mean_j(u_j^T d) - 1|`, u_k the gradient at length 1."""
    products = rows @ (weights @ rows) / np.linalg.norm(rows, axis=1)
    return float(np.abs(products / products.mean() - 1).max())


ERRORS: dict[str, Callable[[Array, Array], float]] = {
    "mgda": gap_of_mgda,
    "upgrad": error_of_upgrad,
    "dualproj": error_of_dualproj,
    "cagrad": gap_of_cagrad,
    "nash": spread_of_nash,
    "fairgrad": spread_of_fairgrad,
    "imtl": spread_of_projections,
    "config": spread_of_projections,
}


ALWAYS_SOLVED = ("mgda", "upgrad", "dualproj", "cagrad")
"""The others count gradients that depend on each other up to float32 as such, and their equation then has no solution.
"""


def sides_of(kind: str) -> dict[str, Make]:
    """Those that there are."""
    try:
        return {"motet": ours, "TorchJD": theirs} if theirs(kind, 2) else {"motet": ours}
    except ImportError as error:
        print(f"(TorchJD's {kind} left out: {error})", file=sys.stderr)
        return {"motet": ours}


def gram_of(rows: Array) -> Tensor:
    return torch.from_numpy(rows @ rows.T)


def milliseconds(kind: str, num_tasks: int, seconds: float) -> dict[str, float]:
    """The median for each side, over matrices with and without conflict."""
    sides = {name: make(kind, num_tasks) for name, make in sides_of(kind).items()}
    grams = [gram_of(rows_of(family, num_tasks, seed)) for seed in range(10) for family in ("plain", "conflicting")]
    times: dict[str, list[float]] = {name: [] for name in sides}
    end, index = time.perf_counter() + seconds * len(sides), 0
    while index < 3 or time.perf_counter() < end:
        for name, solve in sides.items():
            start = time.thread_time()  # what runs beside does not count
            attempt(solve, grams[index % len(grams)])
            times[name].append(time.thread_time() - start)
        index += 1
    return {name: 1e3 * statistics.median(values[1:]) for name, values in times.items()}  # the first call warms up


def largest_error(kind: str, make: Make, families: Sequence[str], num_tasks: int) -> float:
    """By a side that has seen no matrix before; infinite where its solver gives up."""
    found = []
    for family in families:
        for seed in range(5):
            rows = rows_of(family, num_tasks, seed)
            weights = attempt(make(kind, num_tasks), gram_of(rows))
            found.append(float("inf") if weights is None else ERRORS[kind](rows, weights.double().numpy()))
    return float(np.max(found))


def attempt(solve: Solve | None, gram: Tensor) -> Tensor | None:
    assert solve is not None
    try:
        return solve(gram)
    except (ValueError, RuntimeError) as error:  # solvers of third parties say so in these ways
        print(f"(given up: {error})", file=sys.stderr)
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few calls, K = 2 and 16")
    parser.add_argument("--only", nargs="+", help="these kinds")
    parser.add_argument("--counts", nargs="+", type=int, help="these numbers of tasks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    counts, seconds = (QUICK_COUNTS, QUICK_SECONDS) if options.quick else (COUNTS, SECONDS)
    counts = options.counts or counts
    kinds = [kind for kind in methods() if kind in (options.only or methods())]
    header = "".join(f" K = {count} |" for count in counts) + "\n|" + "---|" * (len(counts) + 2)
    print(f"Milliseconds of one processor per call, median\n\n| method | of |{header}")
    for kind in kinds:
        cells = [milliseconds(kind, count, seconds) for count in counts]
        for name in cells[0]:
            print(f"| {kind} | {name} |" + "".join(f" {cell[name]:.3f} |" for cell in cells), flush=True)
    checked = [kind for kind in ERRORS if kind in kinds]
    for families in (("plain", "conflicting"), ("lengths 1 to 1e8",), ("nearly dependent",)):
        print(f"\nLargest error, gradients {' and '.join(families)}\n\n| method | of |{header}")
        for kind in (kind for kind in checked if families[0] != "nearly dependent" or kind in ALWAYS_SOLVED):
            for name, make in sides_of(kind).items():
                worst = [largest_error(kind, make, families, count) for count in counts]
                print(f"| {kind} | {name} |" + "".join(f" {value:.0e} |" for value in worst), flush=True)
    print()
    for kind in checked:
        print(f"- {kind}: {ERRORS[kind].__doc__}")


if __name__ == "__main__":
    main()
