"""Many arrays of one column in one block of memory: one allocation, cheap to slice, to map from disk and to share."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True)
class Items:
    """N arrays of one dtype and number of dimensions, one after the other in `flat`.

    `shapes` is `[N, ndim]`; `starts` `[N]` says where each begins. Items handed out are copies: the caller's own.
    """

    flat: np.ndarray
    shapes: Int64[np.ndarray, "N ndim"]
    starts: Int64[np.ndarray, "N"]
    block: np.ndarray | None

    @classmethod
    def of(cls, flat: np.ndarray, shapes: np.ndarray) -> "Items":
        """Items from their values and shapes; where all shapes agree they are also one array `[N, ...]`."""
        sizes = shapes.prod(axis=1, dtype=np.int64)
        starts = np.cumsum(sizes) - sizes
        uniform = len(shapes) > 0 and bool((shapes == shapes[0]).all())
        block = flat.reshape(len(shapes), *shapes[0].tolist()) if uniform else None
        return cls(flat, shapes, starts, block)

    def __len__(self) -> int:
        return len(self.shapes)

    def take(self, positions: Int64[np.ndarray, "n"]) -> list[np.ndarray]:
        """The items at these positions."""
        if self.block is not None:
            taken = self.block[positions]
            return [taken[index, ...] for index in range(len(taken))]
        shapes = self.shapes[positions]
        sizes = shapes.prod(axis=1, dtype=np.int64)
        return [
            np.array(self.flat[start : start + size]).reshape(shape)
            for start, size, shape in zip(self.starts[positions].tolist(), sizes.tolist(), shapes.tolist(), strict=True)
        ]


class ItemsBuilder:
    """Collects arrays into one growing block, until they exceed `budget` bytes or do not go together."""

    def __init__(self, budget: int) -> None:
        self.kept = True
        self._budget = budget
        self._buffer = bytearray()
        self._dtype: np.dtype = np.dtype(np.float32)
        self._ndim = -1
        self._shapes: list[tuple[int, ...]] = []

    def add(self, item: np.ndarray) -> None:
        """Append an item; nothing more is kept once the budget is spent or a dtype or number of dimensions differs."""
        if not self.kept:
            return
        if self._ndim < 0:
            self._dtype, self._ndim = item.dtype, item.ndim
        fits = item.dtype == self._dtype and item.ndim == self._ndim and not item.dtype.hasobject
        if not fits or len(self._buffer) + item.nbytes > self._budget:
            self.kept, self._buffer, self._shapes = False, bytearray(), []
            return
        self._buffer += item.tobytes()
        self._shapes.append(item.shape)

    def items(self) -> Items | None:
        """Everything added, or None when it was not kept."""
        if not self.kept:
            return None
        flat = np.frombuffer(self._buffer, dtype=self._dtype)
        shapes = np.array(self._shapes, dtype=np.int64).reshape(len(self._shapes), max(self._ndim, 0))
        return Items.of(flat, shapes)
