"""In which order rows are visited: a function of seed and epoch alone."""

import numpy as np
from jaxtyping import Float64, Int64

from motet.core import seed as seeds

WINDOW = 64
"""So many batches exchange rows where rows of like length are to meet."""


class Order:
    """Batches of rows, epoch by epoch; the last one of an epoch may be short.

    `seed` None keeps the rows in their own order, for evaluation. With `weights`, one per row, an epoch draws as many
    rows as there are, each time any of them in proportion to its weight: some come twice, some wait for another epoch.

    With `groups`, the number of each row's group, an epoch shuffles the groups and the rows inside each, so that the
    rows of a group are neighbours. Batches are as long as ever, so the first and the last group of one may be cut,
    elsewhere in each epoch. Groups and weights exclude each other.

    With `lengths`, one per row and ragged column, the one with the most to pad first, rows of like lengths meet in a
    batch: each `WINDOW` batches, as their rows were drawn, exchange rows by length, and are then shuffled. What the
    last, short batch of an epoch holds is left to chance. Groups exclude lengths too.

    Of `count` processes each takes the rows of one `rank`: in every batch the rank-th and each count-th after it. Where
    that leaves it none, it gets the batch's first row, and `idle` says so.

    >>> [len(batch) for batch in Order(np.arange(5), batch_size=2, seed=0).batches(epoch=3)]
    [2, 2, 1]
    """

    def __init__(
        self,
        rows: Int64[np.ndarray, "rows"] | int,
        *,
        batch_size: int,
        seed: int | None,
        weights: Float64[np.ndarray, "rows"] | None = None,
        groups: Int64[np.ndarray, "rows"] | None = None,
        lengths: Int64[np.ndarray, "rows columns"] | None = None,
        rank: int = 0,
        count: int = 1,
    ) -> None:
        assert groups is None or (weights is None and lengths is None), "rows drawn one by one do not stay together"
        self.rows = np.arange(rows) if isinstance(rows, int) else np.asarray(rows, dtype=np.int64)
        self.batch_size = batch_size
        self._seed = seed
        self._rank, self._count = rank, count
        self._lengths = lengths
        self._share = None if weights is None else weights / weights.sum()
        self._group = None if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return -(-len(self.rows) // self.batch_size)

    def batches(self, epoch: int) -> list[Int64[np.ndarray, "B"]]:
        """The batches of one epoch."""
        rows = self.rows
        if self._seed is not None:
            rows = rows[self._drawn(seeds.generator(self._seed, "order", epoch))]
        return [self._own(rows[start : start + self.batch_size]) for start in range(0, len(rows), self.batch_size)]

    def idle(self, position: int) -> bool:
        """Whether the batch at this position of an epoch has no row for this process."""
        return min(self.batch_size, len(self.rows) - position * self.batch_size) <= self._rank

    def _drawn(self, chance: np.random.Generator) -> Int64[np.ndarray, "rows"]:
        """The places of the rows of an epoch, one after the other."""
        num_rows = len(self.rows)
        if self._share is not None:
            return self._alike(chance.choice(num_rows, size=num_rows, p=self._share), chance)
        places = chance.permutation(num_rows)
        if self._group is None or not num_rows:
            return self._alike(places, chance)
        turn = chance.permutation(int(self._group.max()) + 1)  # of each group
        return places[np.argsort(turn[self._group[places]], kind="stable")]

    def _alike(self, places: Int64[np.ndarray, "rows"], chance: np.random.Generator) -> Int64[np.ndarray, "rows"]:
        """The same places, those of like lengths in one batch; which batch comes when is left to chance."""
        if self._lengths is None:
            return places
        places, whole = places.copy(), len(places) // self.batch_size * self.batch_size
        for start in range(0, whole, WINDOW * self.batch_size):
            window = places[start : min(start + WINDOW * self.batch_size, whole)]
            batches = by_length(window, self._lengths[window], self.batch_size).reshape(-1, self.batch_size)
            window[:] = batches[chance.permutation(len(batches))].reshape(-1)
        return places

    def _own(self, batch: Int64[np.ndarray, "B"]) -> Int64[np.ndarray, "B"]:
        own = batch[self._rank :: self._count]
        return own if len(own) else batch[:1]


def by_length(
    places: Int64[np.ndarray, "n"], lengths: Int64[np.ndarray, "n columns"], batch_size: int
) -> Int64[np.ndarray, "n"]:
    """Places so that neighbours are of like lengths: in runs of several batches by the first column, inside each run by
    the second; the others are not looked at.

    >>> by_length(np.arange(4), np.array([[3], [1], [2], [9]]), batch_size=2).tolist()
    [1, 2, 0, 3]
    """
    if lengths.shape[1] < 2:
        return places[np.argsort(lengths[:, 0], kind="stable")]
    run = max(1, round((len(places) / batch_size) ** 0.5)) * batch_size
    number = np.empty(len(places), dtype=np.int64)
    number[np.argsort(lengths[:, 0], kind="stable")] = np.arange(len(places)) // run
    return places[np.lexsort((lengths[:, 1], number))]
