"""Random framings of a picture in training, which whatever is laid over the picture has to follow.

Shapes: H, W of the picture.
"""

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from motet.core.component import Frozen


@dataclass(frozen=True, slots=True)
class Places:
    """For each row and each column of what is seen, the row or column of the picture that it shows."""

    rows: np.ndarray
    columns: np.ndarray

    def of(self, item: np.ndarray) -> np.ndarray:
        """What stands there, `[H, W, ...]`."""
        return np.asarray(item[self.rows][:, self.columns])


class Framing(Frozen):
    """How pictures of one size are shifted and mirrored by chance.

    A picture is shifted by up to `crop` of each side, the edge repeated beyond the edge, and mirrored at probability
    1/2 where `flip`. What is not asked for is not drawn, but the shifts always are.

    >>> places = Framing(size=(2, 4), crop=0.0, flip=False).draw(np.random.default_rng(0))
    >>> places.rows.tolist(), places.columns.tolist()
    ([0, 1], [0, 1, 2, 3])
    """

    size: tuple[int, int]
    crop: float = Field(ge=0, lt=1)
    flip: bool

    @property
    def varies(self) -> bool:
        """Whether anything is left to chance."""
        return self.crop > 0 or self.flip

    def draw(self, generator: np.random.Generator) -> Places:
        """What is seen of a picture: from generators of one seed, the same."""
        rows, columns = (self._shifted(side, generator) for side in self.size)
        if self.flip and generator.random() < 0.5:
            columns = columns[::-1]
        return Places(rows, columns)

    def _shifted(self, side: int, generator: np.random.Generator) -> np.ndarray:
        reach = round(self.crop * side)
        return np.asarray(np.clip(np.arange(side) + generator.integers(-reach, reach + 1), 0, side - 1))
