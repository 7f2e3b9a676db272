"""Survival on simulated rows: motet by its defaults beside a linear Cox regression and the true risk.

Ten features between -1 and 1, of which two count; times are exponential with hazard exp(h), and a third or so of the
rows are last seen before. As in DeepSurv (Katzman et al., BMC Medical Research Methodology 2018) h is linear,
`x0 + 2 x1`, or round, `log 5 exp(-2 (x0^2 + x1^2))`. There are 2,500 rows to train on, 500 validate, 1,000 test.
Concordance on the test rows, with its 95 % interval; the most that can be reached is that of h itself.

    python benchmarks/tasks_survival.py [--seeds 3]
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import motet
from motet.tasks.survival import concordance

ROWS, FEATURES = {"train": 2500, "valid": 500, "test": 1000}, 10
HAZARDS = {
    "linear": lambda x: x[:, 0] + 2 * x[:, 1],
    "round": lambda x: np.log(5) * np.exp(-2 * (x[:, 0] ** 2 + x[:, 1] ** 2)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    begun = time.perf_counter()
    print("| hazard | seed | the risk itself | linear Cox | motet | 95 % interval |\n|---|---|---|---|---|---|")
    for name in HAZARDS:
        for seed in range(seeds):
            x, time_seen, event, hazard = drawn(name, seed)
            test = slice(-ROWS["test"], None)
            slope = cox(x[: ROWS["train"]], time_seen[: ROWS["train"]], event[: ROWS["train"]])
            best, linear = (concordance(one[test], time_seen[test], event[test]) for one in (hazard, x @ slope))
            found = scored(x, time_seen, event, seed)["months"]["concordance"]
            print(
                f"| {name} | {seed} | {best:.4f} | {linear:.4f} | {found.value:.4f} | "
                f"{found.low:.4f} to {found.high:.4f} |",
                flush=True,
            )
    print(f"{time.perf_counter() - begun:.0f} s on one thread")


def drawn(name: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features, times, events, log hazards; the last rows are the test rows."""
    chance, num_rows = np.random.default_rng([seed, len(name)]), sum(ROWS.values())
    x = chance.uniform(-1, 1, size=(num_rows, FEATURES))
    hazard = HAZARDS[name](x)
    happened, left = chance.exponential(size=num_rows) / np.exp(hazard), chance.exponential(size=num_rows) * 1.5
    return x, np.minimum(happened, left), happened <= left, hazard


def scored(x: np.ndarray, time_seen: np.ndarray, event: np.ndarray, seed: int) -> Any:
    """Motet's scores on the test rows."""
    rows = [
        {"x": one.tolist(), "months": float(t), "died": int(e), "split": part}
        for one, t, e, part in zip(
            x, time_seen, event, [part for part, count in ROWS.items() for _ in range(count)], strict=True
        )
    ]
    experiment = motet.Experiment(
        data={"train": rows, "split": "split"},
        inputs={"x": "vector"},
        tasks={"months": {"kind": "survival", "event": "died"}},
        training={"seed": seed, "device": "cpu", "workers": 0},
    )
    with tempfile.TemporaryDirectory() as folder:
        return motet.fit(experiment, out=Path(folder) / "run").report


def cox(x: np.ndarray, time_seen: np.ndarray, event: np.ndarray) -> np.ndarray:
    """The slope of a linear Cox regression by Newton's steps; no two times are alike."""
    order = np.argsort(-time_seen)
    x, event, slope = x[order], event[order], np.zeros(x.shape[1])
    for _ in range(20):
        weight = np.exp(x @ slope)
        total = np.cumsum(weight)[event, None]
        mean = np.cumsum(weight[:, None] * x, axis=0)[event] / total
        square = np.cumsum(weight[:, None, None] * x[:, :, None] * x[:, None, :], axis=0)[event] / total[:, :, None]
        information = (square - mean[:, :, None] * mean[:, None, :]).sum(axis=0)
        slope = slope + np.linalg.solve(information, (x[event] - mean).sum(axis=0))
    return slope


if __name__ == "__main__":
    main()
