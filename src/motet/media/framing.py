"""Random framings of a picture in training, which whatever is laid over the picture has to follow.

Shapes: H, W of the picture.
"""

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from motet.core.component import Frozen


@dataclass(frozen=True, slots=True)
class Places:
    """For each row and each column of what is seen, the place of the picture it shows: whole numbers, or between."""

    rows: np.ndarray
    columns: np.ndarray

    def exactly(self, item: np.ndarray) -> np.ndarray:
        """What stands there, `[H, W, ...]`; between two places, at the nearer."""
        rows, columns = (np.rint(one).astype(np.int64) for one in (self.rows, self.columns))
        return np.asarray(item[rows][:, columns])

    def between(self, item: np.ndarray) -> np.ndarray:
        """What stands there, in straight lines between two places, rounded to the item's type."""
        if self.rows.dtype.kind == "i":
            return self.exactly(item)
        x = item.astype(np.float32)
        for axis, places in enumerate((self.rows, self.columns)):
            low = np.floor(places).astype(np.int64)
            high = np.minimum(low + 1, item.shape[axis] - 1)
            part = (places - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(item.ndim)])
            x = np.take(x, low, axis=axis) * (1 - part) + np.take(x, high, axis=axis) * part
        return np.rint(x).astype(item.dtype)


class Framing(Frozen):
    """How pictures of one size are shifted, mirrored and enlarged by chance.

    A picture is shifted by up to `crop` of each side, mirrored at probability 1/2 where `flip`, and enlarged about its
    middle by a factor e^u, u uniform between -log(1 + zoom) and log(1 + zoom). Beyond the edge the edge is repeated.
    What is not asked for draws nothing.

    >>> places = Framing(size=(2, 4), crop=0.0, flip=False).draw(np.random.default_rng(0))
    >>> places.rows.tolist(), places.columns.tolist()
    ([0, 1], [0, 1, 2, 3])
    """

    size: tuple[int, int]
    crop: float = Field(ge=0, lt=1)
    flip: bool
    zoom: float = Field(default=0.0, ge=0)

    @property
    def varies(self) -> bool:
        """Whether anything is left to chance."""
        return self.crop > 0 or self.flip or self.zoom > 0

    def draw(self, generator: np.random.Generator) -> Places:
        """What is seen of a picture: from generators of one seed, the same."""
        rows, columns = (self._shifted(side, generator) for side in self.size)
        if self.flip and generator.random() < 0.5:
            columns = columns[::-1]
        if self.zoom > 0:
            factor = np.exp(generator.uniform(-1.0, 1.0) * np.log1p(self.zoom))
            rows, columns = (one.mean() + (one - one.mean()) / factor for one in (rows, columns))
        return Places(np.clip(rows, 0, self.size[0] - 1), np.clip(columns, 0, self.size[1] - 1))

    def _shifted(self, side: int, generator: np.random.Generator) -> np.ndarray:
        reach = round(self.crop * side)
        return np.arange(side) + generator.integers(-reach, reach + 1)
