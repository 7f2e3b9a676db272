"""Runs side by side, each in a process of its own, as many as cores and memory allow, within a budget of time."""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from motet.core.errors import SpecError
from motet.spec import Experiment
from motet.study.compare import memory
from motet.study.compare.child import FAILED, LINE, STOPPED, costs_of, work
from motet.training import Interrupted, Progress
from motet.training.interrupt import stop_asked

FINISHED, WAITING = "finished", "not started"
FIRST_GUESS = 800 << 20
"""The bytes a run is thought to need while none has finished."""
GRACE = 60.0
"""So many seconds a run that was asked to stop may take for its whole step and its checkpoint."""
_GOES_ON = "before its end; it goes on with --resume"
_ALONE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Job:
    """One run: `variant` and `seed` name it, `folder` is where it is kept."""

    variant: str
    seed: int
    experiment: Experiment
    folder: Path

    @property
    def name(self) -> str:
        """As it is called in what is said."""
        return f"{self.variant}, seed {self.seed}"

    @property
    def finished(self) -> bool:
        """Whether its report is there, which is written last."""
        return (self.folder / "report.json").is_file()


@dataclass(frozen=True, slots=True)
class Ending:
    """How far a job has come: finished, failed, stopped or not started; and why, where it is not finished."""

    state: str
    reason: str | None = None
    mendable: bool = False


@dataclass(slots=True)
class _Running:
    job: Job
    process: BaseProcess
    hear: Connection
    ending: Ending | None = None
    asked_at: float | None = None


@dataclass(slots=True)
class Runner:
    """`side` runs at a time; none is started that would end after the deadline, by what those before it took."""

    base: Path
    side: int
    progress: Progress
    deadline: float | None = None
    running: list[_Running] = field(default_factory=list)

    def run(self, jobs: Sequence[Job]) -> dict[str, Ending]:
        """By name, how each job ended. Those that are finished are left as they are.

        Raises `Interrupted` after Ctrl-C, when every run has stopped with a checkpoint.
        """
        endings = {job.name: Ending(FINISHED) for job in jobs if job.finished}
        waiting = [job for job in jobs if not job.finished]
        try:
            with stop_asked() as asked:
                while waiting or self.running:
                    while waiting and not asked.is_set() and self._may_start(waiting[0], jobs):
                        self._start(waiting.pop(0))
                    if not self.running:
                        break
                    self._listen(endings, total=len(jobs))
                    if asked.is_set() or self._late():
                        self._ask_to_stop()
                if asked.is_set():
                    raise Interrupted(
                        "stopped; finished runs are kept, the others have checkpoints: go on with --resume"
                    )
        finally:
            for one in self.running:
                one.process.kill()
                one.process.join()
            self.running.clear()
        return endings | {job.name: Ending(WAITING, "the time budget does not hold it") for job in waiting}

    def _may_start(self, job: Job, jobs: Sequence[Job]) -> bool:
        if len(self.running) >= self.side or self._late():
            return False
        if self.deadline is not None and time.monotonic() + _expected(job, jobs) > self.deadline:
            return False
        return not self.running or self._has_room(jobs)

    def _has_room(self, jobs: Sequence[Job]) -> bool:
        """Whether memory is left for one more when those that run have grown to what runs are known to take."""
        left = memory.available()
        if left is None:
            return True
        peaks = [int(one) for job in jobs if (one := costs_of(job.folder)["peak_memory"])]
        need = max(peaks, default=FIRST_GUESS)
        growing = sum(max(0, need - memory.held(one.process.pid or 0)) for one in self.running)
        return left >= need + growing

    def _start(self, job: Job) -> None:
        self.progress.say(f"{job.name}: {'going on' if (job.folder / 'checkpoints').is_dir() else 'started'}")
        context = _context()
        hear, tell = context.Pipe(duplex=False)
        environment = dict(os.environ) | _ALONE
        process = context.Process(target=work, args=(job.experiment, job.folder, self.base, tell, environment))
        with _environment(_ALONE):
            process.start()
        tell.close()
        self.running.append(_Running(job, process, hear))

    def _listen(self, endings: dict[str, Ending], *, total: int) -> None:
        """What the processes tell within half a second; one that tells no more has ended."""
        heard = wait([one.hear for one in self.running], timeout=0.5)
        for one in [one for one in self.running if one.hear in heard]:
            try:
                self._hear(one, one.hear.recv())
            except (EOFError, OSError):
                one.process.join()
                one.hear.close()
                self.running.remove(one)
                endings[one.job.name] = ending = _ending(one)
                why = f": {ending.reason}" if ending.reason else ""
                self.progress.say(f"{one.job.name}: {ending.state}{why}")
                self.progress.stage("runs", sum(end.state == FINISHED for end in endings.values()), total)

    def _hear(self, one: _Running, told: tuple[Any, ...]) -> None:
        if told[0] == LINE:
            self.progress.say(f"{one.job.name}: {told[1]}")
        elif told[0] == FAILED:
            one.ending = Ending(FAILED, told[1], mendable=told[2])
        else:
            one.ending = Ending(STOPPED, _GOES_ON)

    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _ask_to_stop(self) -> None:
        """Each is asked once, by what Ctrl-C sends, and ended when it takes too long."""
        for one in self.running:
            if one.asked_at is None:
                one.asked_at = time.monotonic()
                with contextlib.suppress(OSError):
                    os.kill(one.process.pid or 0, signal.SIGINT)
            elif time.monotonic() > one.asked_at + GRACE:
                one.process.kill()


def _context() -> Any:
    """Fresh processes: copies of one that has imported what a run needs and done nothing, or else each started anew."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([work.__module__])
    return context


def refuse_children() -> None:
    """Raises `SpecError` where this process was itself started by another, as of a script that is not guarded."""
    if multiprocessing.parent_process() is not None:
        raise SpecError(
            "compare: this process was itself started by another; put the call that compares under "
            "`if __name__ == '__main__':`"
        )


def _expected(job: Job, jobs: Sequence[Job]) -> float:
    """The seconds a run will take: as the same variant took, else the longest of any; 0 where none is known."""
    took = {(one.variant, one.seed): costs_of(one.folder)["seconds"] or 0.0 for one in jobs if one.finished}
    alike = [seconds for (variant, _), seconds in took.items() if variant == job.variant]
    return sum(alike) / len(alike) if alike else max(took.values(), default=0.0)


def _ending(one: _Running) -> Ending:
    if one.ending is not None and not one.job.finished:
        return one.ending
    if one.job.finished:
        return Ending(FINISHED)
    if one.asked_at is not None:
        return Ending(STOPPED, _GOES_ON)
    code = one.process.exitcode
    if code is not None and code < 0:
        return Ending(FAILED, f"its process was ended by signal {-code}; perhaps memory ran out: try --jobs 1")
    return Ending(FAILED, f"its process ended with code {code} and said nothing")


@contextlib.contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    former = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(former)
