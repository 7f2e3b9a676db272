"""Random views of a picture in training, which whatever is laid over the picture has to follow.

Shapes: H, W of the picture.
"""

from dataclasses import dataclass
from functools import reduce

import numpy as np
from jaxtyping import Float, UInt8
from pydantic import Field

from motet.core.component import Frozen
from motet.media.randaugment import Operation, RandAugment


@dataclass(frozen=True, slots=True)
class View:
    """What is seen of a picture: shifted by so many rows and columns, enlarged about its middle, mirrored or not.

    from = (to + 1/2 - side/2) / zoom + side/2 + shift        per side, the edge repeated beyond the edge

    Then come the operations, of which those that move things move whatever lies over the picture as well.
    """

    down: int
    right: int
    mirrored: bool = False
    zoom: float = 1.0
    operations: tuple[Operation, ...] = ()

    def of(self, item: np.ndarray) -> np.ndarray:
        """What is seen of `[H, W, ...]`, the nearest of each place."""
        return reduce(lambda seen, one: one.moved(seen) if one.moves else seen, self.operations, self._framed(item))

    def of_picture(self, picture: UInt8[np.ndarray, "H W C"]) -> UInt8[np.ndarray, "H W C"]:
        """What is seen of the picture itself, which operations that move nothing change too."""
        return reduce(lambda seen, one: one.on(seen), self.operations, self._framed(picture))

    def of_boxes(self, boxes: Float[np.ndarray, "n 4"], size: tuple[int, int]) -> Float[np.ndarray, "n 4"]:
        """Where x0, y0, x1, y1, fractions of a picture of this size, are seen; it may be outside."""
        shift = np.array([self.right / size[1], self.down / size[0]] * 2)
        seen = (boxes - 0.5 - shift) * self.zoom + 0.5
        if self.mirrored:
            seen[:, [0, 2]] = 1 - seen[:, [2, 0]]
        moves = [one for one in self.operations if one.moves]
        return np.asarray(reduce(lambda found, one: one.moved_boxes(found, size), moves, seen))

    def _framed(self, item: np.ndarray) -> np.ndarray:
        rows, columns = (self._nearest(side, by) for side, by in zip(item.shape, (self.down, self.right), strict=False))
        return np.asarray(item[rows][:, columns[::-1] if self.mirrored else columns])

    def _nearest(self, side: int, by: int) -> np.ndarray:
        place = (np.arange(side) + 0.5 - side / 2) / self.zoom + side / 2
        return np.asarray(np.clip(np.floor(place).astype(np.int64) + by, 0, side - 1))


class Framing(Frozen):
    """How pictures of one size are shifted, enlarged and mirrored by chance.

    A picture is shifted by up to `crop` of each side, mirrored at probability 1/2 where `flip`, and enlarged by a
    factor from 1 - `zoom` to 1 + `zoom`. What is not asked for is not drawn, but the shifts always are. `randaugment`
    draws last.

    >>> Framing(size=(2, 4), crop=0.0, flip=False).draw(np.random.default_rng(0))
    View(down=0, right=0, mirrored=False, zoom=1.0, operations=())
    """

    size: tuple[int, int]
    crop: float = Field(ge=0, lt=1)
    flip: bool
    zoom: float = Field(default=0.0, ge=0, lt=1)
    randaugment: RandAugment | None = None

    @property
    def varies(self) -> bool:
        """Whether anything is left to chance."""
        operates = self.randaugment is not None and self.randaugment.magnitude > 0
        return self.crop > 0 or self.flip or self.zoom > 0 or operates

    def draw(self, generator: np.random.Generator) -> View:
        """What is seen of a picture: from generators of one seed, the same."""
        reach = [round(self.crop * side) for side in self.size]
        down, right = (int(generator.integers(-most, most + 1)) for most in reach)
        mirrored = bool(self.flip and generator.random() < 0.5)
        zoom = 1 + float(generator.uniform(-self.zoom, self.zoom)) if self.zoom else 1.0
        return View(down, right, mirrored, zoom, self.randaugment.draw(generator) if self.randaugment else ())


def relit(
    picture: UInt8[np.ndarray, "H W C"], generator: np.random.Generator, *, jitter: float
) -> UInt8[np.ndarray, "H W C"]:
    """The picture in another light: brightness, then contrast, then of a picture in colour saturation.

    Each is a blend `f x + (1 - f) x0`, f drawn from 1 - `jitter` to 1 + `jitter`; x0 is black, the mean luma of the
    picture, and the luma of each pixel (Howard, Some Improvements on Deep CNN Based Image Classification, 2013).

    >>> grey = np.full((1, 2, 3), 100, dtype=np.uint8)
    >>> float(relit(grey, np.random.default_rng(0), jitter=0.2).std())
    0.0
    """
    brightness, contrast, saturation = generator.uniform(1 - jitter, 1 + jitter, size=3).astype(np.float32)
    x = picture.astype(np.float32) * brightness
    x = contrast * x + (1 - contrast) * _luma(x).mean()
    if picture.shape[2] == 3:
        x = saturation * x + (1 - saturation) * _luma(x)
    return np.asarray(x.round().clip(0, 255).astype(np.uint8))


def _luma(x: Float[np.ndarray, "H W C"]) -> Float[np.ndarray, "H W 1"]:
    """ITU-R 601."""
    return x if x.shape[2] == 1 else np.dot(x, np.array([0.299, 0.587, 0.114], dtype=x.dtype))[:, :, None]
