"""Processes that prepare batches ahead. Batch number n is always the work of process n mod W, so order needs no luck.

A worker that dies is noticed by its sentinel while its batch is awaited. Workers end by themselves when the parent is
gone. They are forked: what the parent read is shared, not copied.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import warnings
from collections import deque
from multiprocessing.connection import Connection, wait
from types import FrameType, TracebackType
from typing import Any

import numpy as np
import torch

from motet.core.errors import DataError, RunError
from motet.core.flow import Batch
from motet.data.dataset import Dataset
from motet.data.transport import receive_batch, send_batch

_AHEAD = 2
_PATIENCE = 0.5


class Workers:
    """`num_workers` processes that make batches of one dataset. Use as a context, or call `close`."""

    def __init__(self, dataset: Dataset, num_workers: int) -> None:
        context = multiprocessing.get_context("fork")
        self._processes: list[Any] = []
        self._connections: list[Connection] = []
        self._pending: deque[tuple[int, np.ndarray]] = deque()
        self._asked = 0
        self._table = dataset.store.table
        for _ in range(num_workers):
            ours, theirs = context.Pipe()
            inherited = [*self._connections, ours]
            process = context.Process(target=_work, args=(dataset, theirs, inherited, os.getpid()), daemon=True)
            with warnings.catch_warnings():
                # The child runs one thread and no OpenMP region, which is what the warning is about.
                warnings.simplefilter("ignore", DeprecationWarning)
                process.start()
            theirs.close()
            self._processes.append(process)
            self._connections.append(ours)

    @property
    def capacity(self) -> int:
        """How many batches may be asked for before one is taken."""
        return _AHEAD * len(self._processes)

    @property
    def num_pending(self) -> int:
        """How many batches were asked for and not yet taken."""
        return len(self._pending)

    def ask(self, rows: np.ndarray, *, epoch: int | None) -> None:
        """Have the next batch prepared."""
        worker = self._asked % len(self._processes)
        self._asked += 1
        self._pending.append((worker, rows))
        with contextlib.suppress(OSError):  # a dead worker is reported when its batch is taken
            self._connections[worker].send_bytes(json.dumps([rows.tolist(), epoch]).encode())

    def take(self) -> Batch:
        """The batch asked for first. Errors: `RunError` naming the rows when the worker died."""
        worker, rows = self._pending.popleft()
        connection, process = self._connections[worker], self._processes[worker]
        while not wait([connection, process.sentinel], timeout=_PATIENCE):
            pass
        try:
            if not connection.poll():
                raise EOFError
            header = json.loads(connection.recv_bytes())
            if "error" in header:
                kind = DataError if header["error"] == "DataError" else RunError
                raise kind(header["message"])
            return receive_batch(connection, header)
        except (EOFError, OSError):
            process.join(timeout=1)
            self.close()
            raise RunError(
                f"a loader worker died (exit code {process.exitcode}) while it read {self._named(rows)}; "
                "it may have run out of memory: try fewer workers"
            ) from None

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
        self._pending.clear()

    def _named(self, rows: np.ndarray) -> str:
        places = [self._table.locate(row) for row in rows.tolist()]
        return ", ".join(f"{file}:{number}" for file, number in places)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _work(dataset: Dataset, connection: Connection, inherited: list[Connection], parent: int) -> None:
    for other in inherited:
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends us
    signal.signal(signal.SIGTERM, _end)
    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, OSError):
        while True:
            while not connection.poll(_PATIENCE):
                if os.getppid() != parent:
                    return
            rows, epoch = json.loads(connection.recv_bytes())
            try:
                batch = dataset.batch(np.array(rows, dtype=np.int64), epoch=epoch)
            except Exception as error:
                kind = "DataError" if isinstance(error, DataError) else type(error).__name__
                words = str(error) if isinstance(error, DataError) else f"a loader worker failed: {kind}: {error}"
                connection.send_bytes(json.dumps({"error": kind, "message": words}).encode())
                continue
            send_batch(connection, batch, receiver=parent)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(0)
