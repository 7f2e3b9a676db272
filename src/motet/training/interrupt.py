"""Ctrl-C asks a training to stop after a whole step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from motet.core.errors import RunError


class Interrupted(RunError):
    """Ctrl-C: the run stopped after a whole step, with a checkpoint."""


@contextmanager
def stop_asked() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets; a second Ctrl-C acts as usual. Only the main thread may listen."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    former = signal.getsignal(signal.SIGINT)

    def ask(*_: object) -> None:
        asked.set()
        signal.signal(signal.SIGINT, former)

    signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, former)
