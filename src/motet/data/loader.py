"""Batches in order, from any point of an epoch on, the same for every number of workers."""

from collections.abc import Iterator
from types import TracebackType

import numpy as np

from motet.core.flow import Batch
from motet.data.dataset import Dataset
from motet.data.order import Order
from motet.data.workers import Workers


class Loader:
    """Iterates `(epoch, position, Batch)` from (`epoch`, `position`) to the end of that epoch; then on to the next.

    Each `for` loop over the loader is the rest of one epoch. `augment` False is for evaluation. Workers stay alive
    between epochs; use the loader as a context, or call `close`, to end them.
    Errors: `RunError` when a worker dies, naming the rows it was reading; `DataError` when a file changed meanwhile.
    """

    def __init__(
        self,
        dataset: Dataset,
        order: Order,
        *,
        workers: int = 0,
        epoch: int = 0,
        position: int = 0,
        augment: bool = True,
    ) -> None:
        self.dataset, self.order = dataset, order
        self.epoch, self.position = epoch, position
        self._augment = augment
        self._num_workers = workers
        self._workers: Workers | None = None

    def __len__(self) -> int:
        """How many batches a whole epoch has."""
        return len(self.order)

    def __iter__(self) -> Iterator[tuple[int, int, Batch]]:
        """The rest of this epoch."""
        epoch, start = self.epoch, self.position
        batches = self.order.batches(epoch)[start:]
        variation = epoch if self._augment else None
        prepared = self._ahead(batches, variation) if self._num_workers else self._here(batches, variation)
        for position, batch in enumerate(prepared, start):
            self.position = position + 1
            yield epoch, position, batch
        self.epoch, self.position = epoch + 1, 0

    def _here(self, batches: list[np.ndarray], epoch: int | None) -> Iterator[Batch]:
        for rows in batches:
            yield self.dataset.batch(rows, epoch=epoch)

    def _ahead(self, batches: list[np.ndarray], epoch: int | None) -> Iterator[Batch]:
        if self._workers is None:
            self._workers = Workers(self.dataset, self._num_workers)
        workers, finished = self._workers, False
        try:
            waiting = iter(batches)
            for _ in batches[: workers.capacity]:
                workers.ask(next(waiting), epoch=epoch)
            for _ in batches:
                batch = workers.take()
                following = next(waiting, None)
                if following is not None:
                    workers.ask(following, epoch=epoch)
                yield batch
            finished = True
        finally:
            if not finished:  # left in the middle: what was prepared belongs to nobody
                self.close()

    def close(self) -> None:
        """End the workers."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None

    def __enter__(self) -> "Loader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
