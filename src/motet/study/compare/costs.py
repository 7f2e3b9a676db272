"""What each candidate costs: parameters, time of a step, memory, and seconds in all."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from motet.core.errors import BundleError
from motet.run.report import Report
from motet.study.compare.candidate import Candidate
from motet.study.compare.child import costs_of

COLUMNS: dict[str, Callable[[Iterable[float]], float]] = {
    "parameters": sum,
    "ms_per_step": sum,
    "peak_memory": max,
    "seconds": sum,
}
"""How the costs of several models that answer together are put together: one step of each, one in memory at a time."""


def run_costs(run: Path) -> dict[str, float | None]:
    """Those of one finished run; None for what is not known, as of a run that was not made by comparing.

    Raises `BundleError` where its report is damaged.
    """
    facts = Report.of_run(run).content.get("training", {})
    found = costs_of(run)
    seconds = found["seconds"] if found["seconds"] is not None else facts.get("seconds")
    return {"parameters": facts.get("parameters")} | found | {"seconds": seconds}


def candidate_costs(candidate: Candidate) -> dict[str, Any]:
    """The means over the seeds whose runs are all finished and can be read."""
    each = [found for runs in candidate.runs.values() if (found := _of_seed(runs)) and len(found) == candidate.models]
    return {
        name: _mean([_together(put, [run[name] for run in runs]) for runs in each]) for name, put in COLUMNS.items()
    }


def _of_seed(runs: Sequence[Path]) -> list[dict[str, float | None]]:
    found = []
    for run in runs:
        with contextlib.suppress(BundleError):
            found.append(run_costs(run))
    return found


def _together(put: Callable[[Iterable[float]], float], values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return put(known) if len(known) == len(values) and known else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known) if known else None
    return int(mean) if mean is not None and mean == int(mean) else mean
