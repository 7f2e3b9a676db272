"""One run of a comparison, in a process of its own: an ordinary run folder, and beside its report what it cost."""

import contextlib
import json
import math
import multiprocessing
import os
import statistics
import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from motet.artifact import write_file
from motet.core.errors import MotetError, UserError
from motet.spec import Experiment
from motet.study.compare import memory
from motet.study.fit import fit
from motet.training import Interrupted, Quiet

COSTS = "costs.json"
LINE, FAILED, STOPPED = "line", "failed", "stopped"
"""What a process tells: (LINE, text), and last (FAILED, reason, whether the user can mend it) or (STOPPED,)."""


class Told(Quiet):
    """Tells each sentence and each epoch, and takes the time between steps."""

    def __init__(self, tell: Connection) -> None:
        self._tell = tell
        self._last: float | None = None
        self.times: list[float] = []

    def say(self, text: str) -> None:
        """Tell the sentence."""
        with contextlib.suppress(OSError):
            self._tell.send((LINE, text))

    def step(self, *, epoch: int, epochs: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Note the time."""
        now = time.perf_counter()
        if self._last is not None:
            self.times.append(now - self._last)
        self._last = now

    def epoch(self, *, epoch: int, epochs: int, text: str) -> None:
        """Tell the epoch's scores."""
        self.say(f"epoch {epoch}/{epochs}  {text}")


def work(
    experiment: Experiment, out: Path, base: Path, tell: Connection, environment: Mapping[str, str] | None = None
) -> None:
    """Train into `out`, going on where a run there stopped; ends when the process that started this one is gone.

    `environment` is that of who started it, which the process this one is a copy of may not have.
    """
    import torch

    os.environ.update(environment or {})
    _end_with_parent()
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C is for the process that started this one, which passes it on once
    torch.set_num_threads(1)
    begun, progress = time.monotonic(), Told(tell)
    try:
        fit(experiment, out=out, base=base, resume=True, progress=progress)
    except (KeyboardInterrupt, Interrupted):
        tell.send((STOPPED,))
    except MotetError as error:
        tell.send((FAILED, str(error), isinstance(error, UserError)))
    except Exception as error:
        tell.send((FAILED, f"{type(error).__name__}: {error}", False))
    if out.is_dir():
        _write_costs(out, progress, seconds=time.monotonic() - begun)
    tell.close()


def costs_of(run: Path) -> dict[str, float | None]:
    """Seconds in all, milliseconds of a step (their median), and the most bytes held; None for what is not known."""
    try:
        found = json.loads((run / COSTS).read_bytes())
    except (OSError, ValueError, RecursionError):
        found = {}
    known = found if isinstance(found, dict) else {}
    return {name: _number(known.get(name)) for name in ("seconds", "ms_per_step", "peak_memory")}


def _number(value: Any) -> float | None:
    """A finite number; anything else in a damaged file is not known."""
    there = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if there else None


def _write_costs(out: Path, progress: Told, *, seconds: float) -> None:
    """Added to what earlier processes of the same run took."""
    former = costs_of(out)
    found: dict[str, Any] = {
        "seconds": round((former["seconds"] or 0) + seconds, 2),
        "ms_per_step": round(1000 * statistics.median(progress.times), 3) if progress.times else former["ms_per_step"],
        "peak_memory": max(memory.peak() or 0, former["peak_memory"] or 0) or None,
    }
    write_file(out / COSTS, json.dumps(found, indent=1).encode())


def _end_with_parent() -> None:
    """A run that nobody waits for would go on writing into the folder of the one that is started again."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
