"""RandAugment: some operations on a picture, drawn by chance, all of one strength.

Shapes: H, W, C of the picture.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, UInt8
from pydantic import Field

from motet.core.component import ComponentSpec

Move = tuple[Float[np.ndarray, "2 2"], Float[np.ndarray, "2"]]
"""A and b of `from = A to + b`."""
TURN, SHEAR, SHIFT, BLEND, BITS = 30.0, 0.3, 0.45, 0.9, 4
"""At strength 1: degrees, a slope, a part of the side, how much stronger or weaker, and bits taken away."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation and its strength, from -1 to 1; operations without a strength do not look at it."""

    name: str
    strength: float

    @property
    def moves(self) -> bool:
        """Whether it says where things are seen; else only how they look."""
        return self.name in MOVES

    def on(self, picture: UInt8[np.ndarray, "H W C"]) -> UInt8[np.ndarray, "H W C"]:
        """The picture afterwards.

        >>> Operation("solarise", 0.5).on(np.array([[[0], [127], [128], [200]]], dtype=np.uint8)).ravel().tolist()
        [0, 127, 127, 55]
        """
        from PIL import Image

        if self.moves:
            return self.moved(picture)
        flat = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
        return np.asarray(LOOKS[self.name](flat, self.strength), dtype=np.uint8).reshape(picture.shape)

    def moved(self, item: np.ndarray) -> np.ndarray:
        """`[H, W, ...]` as an operation that moves shows it: the nearest of each place, and beyond the edge the edge.

        from = A to + b                in rows and columns of pixels, from the middle of the picture
        """
        matrix, offset = MOVES[self.name](self.strength, item.shape[:2])
        middle = np.array(item.shape[:2]) / 2
        to = np.indices(item.shape[:2]).transpose(1, 2, 0) + 0.5 - middle
        place = np.floor(to @ matrix.T + offset + middle).astype(np.int64)
        rows, columns = (place[:, :, axis].clip(0, item.shape[axis] - 1) for axis in (0, 1))
        return np.asarray(item[rows, columns])

    def moved_boxes(self, boxes: Float[np.ndarray, "n 4"], size: tuple[int, int]) -> Float[np.ndarray, "n 4"]:
        """The smallest boxes around the moved x0, y0, x1, y1, fractions of a picture of this size."""
        matrix, offset = MOVES[self.name](self.strength, size)
        corners = boxes[:, [[1, 0], [1, 2], [3, 0], [3, 2]]] * size - np.array(size) / 2
        seen = ((corners - offset) @ np.linalg.inv(matrix).T + np.array(size) / 2) / size
        return np.concatenate([seen.min(axis=1)[:, ::-1], seen.max(axis=1)[:, ::-1]], axis=1)


class RandAugment(ComponentSpec):
    """In training, so many operations on each picture, drawn by chance with equal probability, all of one strength.

    Cubuk et al., CVPRW 2020: identity, autocontrast, equalise, rotate, solarise, colour, posterise, contrast,
    brightness, sharpness, and shear and shift along rows and columns. At `magnitude` 1 they turn by 30 degrees, shear
    by 0.3, shift by 0.45 of a side, scale colour, contrast, brightness and sharpness by 1.9 or 0.1, invert all pixels
    and take 4 bits; signs are drawn at probability 1/2. Autocontrast and equalise have one strength alone. Deviations:
    all others grow from nothing (in the authors' code solarise, posterise and the enhancements do not, its operations
    are done at a probability, and there are a few more); beyond the edge of a picture is its edge, not grey; and masks,
    depths and boxes move along.

    >>> RandAugment(operations=2, magnitude=0.3).draw(np.random.default_rng(0))
    (Operation(name='shift down', strength=0.3), Operation(name='sharpness', strength=0.3))
    """

    kind: Literal["randaugment"] = "randaugment"
    paper: ClassVar[str] = "Cubuk et al., RandAugment, CVPRW 2020"
    operations: int = Field(default=2, ge=1, description="How many operations, one after the other.")
    magnitude: float = Field(default=0.3, ge=0, le=1, description="How strong each is; 0: none is done.")

    def draw(self, generator: np.random.Generator) -> tuple[Operation, ...]:
        """The operations for one picture; none, and nothing is drawn, where they would do nothing."""
        if self.magnitude == 0:
            return ()
        drawn = [(NAMES[int(generator.integers(len(NAMES)))], generator.random()) for _ in range(self.operations)]
        return tuple(Operation(name, self.magnitude if sign < 0.5 else -self.magnitude) for name, sign in drawn)


def _enhanced(name: str) -> Callable[[Any, float], Any]:
    """`x0 + (1 + 0.9 m) (x - x0)`: x0 the grey picture, its mean luma, black, or the smoothed picture."""

    def change(picture: Any, strength: float) -> Any:
        from PIL import ImageEnhance

        return getattr(ImageEnhance, name)(picture).enhance(1 + BLEND * strength)

    return change


def _by_table(name: str, argument: Callable[[float], int] | None = None) -> Callable[[Any, float], Any]:
    """An operation of `PIL.ImageOps`, with what it asks for as a function of the strength."""

    def change(picture: Any, strength: float) -> Any:
        from PIL import ImageOps

        operation = getattr(ImageOps, name)
        return operation(picture) if argument is None else operation(picture, argument(abs(strength)))

    return change


def _turned(strength: float, size: tuple[int, ...]) -> Move:
    """Counter-clockwise, as Pillow turns."""
    sine, cosine = np.sin(np.deg2rad(TURN * strength)), np.cos(np.deg2rad(TURN * strength))
    return np.array([[cosine, sine], [-sine, cosine]]), np.zeros(2)


def _sheared(*, down: float = 0.0, right: float = 0.0) -> Callable[[float, tuple[int, ...]], Move]:
    return lambda strength, size: (
        np.array([[1, -SHEAR * strength * down], [-SHEAR * strength * right, 1]]),
        np.zeros(2),
    )


def _shifted(*, down: float = 0.0, right: float = 0.0) -> Callable[[float, tuple[int, ...]], Move]:
    return lambda strength, size: (np.eye(2), -SHIFT * strength * np.array([down, right]) * size[:2])


LOOKS: dict[str, Callable[[Any, float], Any]] = {
    "autocontrast": _by_table("autocontrast"),
    "brightness": _enhanced("Brightness"),
    "colour": _enhanced("Color"),
    "contrast": _enhanced("Contrast"),
    "equalise": _by_table("equalize"),
    "identity": lambda picture, strength: picture,
    "posterise": _by_table("posterize", lambda strength: 8 - round(BITS * strength)),
    "sharpness": _enhanced("Sharpness"),
    "solarise": _by_table("solarize", lambda strength: round(256 * (1 - strength))),
}
MOVES: dict[str, Callable[[float, tuple[int, ...]], Move]] = {
    "rotate": _turned,
    "shear down": _sheared(down=1),
    "shear right": _sheared(right=1),
    "shift down": _shifted(down=1),
    "shift right": _shifted(right=1),
}
NAMES = sorted([*LOOKS, *MOVES])
