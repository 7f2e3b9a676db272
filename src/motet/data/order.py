"""In which order rows are visited: a function of seed and epoch alone."""

import numpy as np
from jaxtyping import Int64

from motet.core import seed as seeds


class Order:
    """Batches of rows, epoch by epoch; the last one of an epoch may be short.

    `seed` None keeps the rows in their own order, for evaluation.

    >>> [len(batch) for batch in Order(np.arange(5), batch_size=2, seed=0).batches(epoch=3)]
    [2, 2, 1]
    """

    def __init__(self, rows: Int64[np.ndarray, "rows"] | int, *, batch_size: int, seed: int | None) -> None:
        self.rows = np.arange(rows) if isinstance(rows, int) else np.asarray(rows, dtype=np.int64)
        self.batch_size = batch_size
        self._seed = seed

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return -(-len(self.rows) // self.batch_size)

    def batches(self, epoch: int) -> list[Int64[np.ndarray, "B"]]:
        """The batches of one epoch."""
        rows = self.rows
        if self._seed is not None:
            rows = rows[seeds.generator(self._seed, "order", epoch).permutation(len(rows))]
        return [rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size)]
