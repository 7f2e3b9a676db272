"""What the studies share: jobs trained once each, side by side, under a time budget, that go on where they stopped."""

import hashlib
import json
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Job:
    """One training: `key` names it in the results, `experiment` is what `motet.fit` is given."""

    key: str
    experiment: dict[str, Any]

    @property
    def digest(self) -> str:
        """Of the experiment, wherever its table is: results of another one under the same key are not taken for its."""
        train = self.experiment["data"]["train"]
        tables = [one["table"] for one in train] if isinstance(train, list) else [train]
        names = [Path(table).name for table in tables]
        document = {**self.experiment, "data": names if len(names) > 1 else names[0]}
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:12]


def data_folder() -> Path:
    """Where the real tables are; ends the script where they are not."""
    folder = Path(os.environ.get("MOTET_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        raise SystemExit(f"the real tables are not at {folder}; set MOTET_DATA")
    return folder


def work(
    jobs: Sequence[Job], measure: Callable[[Job, Path], dict[str, Any]], *, results: Path, minutes: float, side: int
) -> dict[str, dict[str, Any]]:
    """Results by key: those on file, and those of the jobs begun within the budget, `side` of them at a time.

    A job that fails is named and left out; the others go on.
    """
    on_file = read(results)
    found = {job.key: entry for job in jobs if (entry := on_file.get((job.key, job.digest))) is not None}
    waiting = [job for job in jobs if job.key not in found]
    deadline = time.monotonic() + 60 * minutes
    running: dict[Future[dict[str, Any]], Job] = {}
    with ProcessPoolExecutor(side, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=16) as pool:
        while running or (waiting and time.monotonic() < deadline):
            while waiting and len(running) < side and time.monotonic() < deadline:
                job = waiting.pop(0)
                running[pool.submit(_in_folder, measure, job)] = job
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                job = running.pop(future)
                if (error := future.exception()) is not None:
                    print(f"{job.key}: failed: {error}", flush=True)
                    continue
                found[job.key] = future.result()
                with results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": job.key, "digest": job.digest, **found[job.key]}) + "\n")
                print(f"{job.key}: {found[job.key]}", flush=True)
    return found


def read(results: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What is on file, by key and digest."""
    lines = results.read_text(encoding="utf-8").splitlines() if results.is_file() else []
    entries = [json.loads(line) for line in lines]
    return {(entry.pop("key"), entry.pop("digest")): entry for entry in entries}


def mean_and_half_width(values: Sequence[float]) -> tuple[float, float]:
    """The mean over seeds, and half the width of its 95 % Student interval; NaN for a single seed."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return mean, float(half)


def shown(values: Sequence[float], *, wanted: int) -> str:
    """`mean ± half width`, saying so where seeds are missing."""
    if not values:
        return "not run"
    mean, half = mean_and_half_width(values)
    missing = f" ({len(values)} of {wanted} seeds)" if len(values) < wanted else ""
    return f"{mean:.3f}" + (f" ± {half:.3f}" if math.isfinite(half) else "") + missing


def without(report: Mapping[str, Any], absent: str, task: str) -> float:
    """The primary metric of a task where one input is absent from every row."""
    names = sorted(report["inputs"])
    kept = [name for name in names if name != absent]
    return next(one["metrics"][task] for one in report["subsets"] if sorted(one["inputs"]) == kept)


def step_time(experiment: Mapping[str, Any], *, steps: int = 30) -> float:
    """Milliseconds of a training step on the experiment's own first batches, one thread: the median after five."""
    from motet.data import Loader, Order
    from motet.run.prepare import build, prepare
    from motet.spec import load
    from motet.training import Quiet, build_optimizer, train_step

    prepared = prepare(load(experiment), base=Path.cwd(), progress=Quiet())
    network, spec = build(prepared.fitted), prepared.fitted.experiment.training
    network.train()
    optimizer = build_optimizer(network, spec)
    order = Order(prepared.fitted.splits.train, batch_size=int(spec.batch_size), seed=0)
    priorities = dict.fromkeys(prepared.fitted.tasks, 1.0)
    times = []
    with Loader(prepared.dataset, order, workers=0) as loader:
        for step, (_, _, batch) in zip(range(steps), loader, strict=False):
            begun = time.perf_counter()
            train_step(network, optimizer, [batch], priorities=priorities, seed=0, step=step)
            times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times[5:])


def _in_folder(measure: Callable[[Job, Path], dict[str, Any]], job: Job) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return measure(job, Path(folder) / "run")
