"""What a person sees while a run trains: bars on a terminal, plain lines elsewhere, nothing when asked for nothing."""

import sys
from collections.abc import Mapping
from typing import Any, Protocol


class Progress(Protocol):
    """Hooks the run calls. Implementations must not raise and must not change what is trained."""

    def say(self, text: str) -> None:
        """One sentence about what happens now."""

    def stage(self, name: str, done: int, total: int) -> None:
        """How far a stage other than training has come."""

    def step(self, *, epoch: int, epochs: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """A step is done."""

    def epoch(self, *, epoch: int, epochs: int, text: str) -> None:
        """An epoch is done and validated."""

    def close(self) -> None:
        """Nothing more comes."""


class Quiet:
    """Says nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def stage(self, name: str, done: int, total: int) -> None:
        """Nothing."""

    def step(self, *, epoch: int, epochs: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Nothing."""

    def epoch(self, *, epoch: int, epochs: int, text: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Lines(Quiet):
    """Plain lines on stderr, for logs and pipes: each sentence and each epoch."""

    def say(self, text: str) -> None:
        """Print the sentence."""
        print(text, file=sys.stderr, flush=True)

    def epoch(self, *, epoch: int, epochs: int, text: str) -> None:
        """Print the epoch's scores."""
        self.say(f"epoch {epoch:>3}/{epochs}  {text}")


class Bars(Quiet):
    """One live bar for the stage at hand, the epochs' scores scrolling by above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._console = Console(stderr=True)
        columns: tuple[Any, ...] = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
        )
        self._bar = RichProgress(*columns, console=self._console, transient=True)
        self._bar.start()
        self._tasks: dict[str, Any] = {}

    def say(self, text: str) -> None:
        """Print the sentence above the bar."""
        self._bar.console.print(text, markup=False, highlight=False)

    def stage(self, name: str, done: int, total: int) -> None:
        """Move the stage's bar; it goes when done."""
        self._move(name, done, total, "")

    def step(self, *, epoch: int, epochs: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Move the bar; beside it the epoch and each task's loss."""
        detail = "  ".join(f"{task} {loss:.3f}" for task, loss in list(losses.items())[:6])
        self._move("training", step, steps, f"epoch {epoch}/{epochs}  loss {detail}")

    def epoch(self, *, epoch: int, epochs: int, text: str) -> None:
        """Print the epoch's scores above the bar."""
        self.say(f"epoch {epoch:>3}/{epochs}  {text}")

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()

    def _move(self, name: str, done: int, total: int, detail: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name, total=total, detail="")
        self._bar.update(self._tasks[name], completed=done, total=total, detail=detail, visible=done < total)


def progress_for(stream: Any = None) -> Progress:
    """Bars where a person watches, plain lines otherwise."""
    return Bars() if (stream or sys.stderr).isatty() else Lines()
