"""What of a number, a vector, a picture or a sound is to be said again: an array of one size.

Shapes: H, W, C of a reduced picture; F frames, M bands, P parts of a sound.
"""

import io
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float32, Float64
from pydantic import Field

from motet import media
from motet.core.component import Frozen
from motet.core.errors import CellError
from motet.tasks.numbers import number_of


class ArrayForm(Frozen, ABC):
    """A cell as an array of one size, in its own units; `mean` and `deviation` are those of its last dimension."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @abstractmethod
    def read(self, cell: object) -> np.ndarray:
        """One cell -> one array; raises `CellError` with the reason."""

    def answer(self, array: np.ndarray) -> Any:
        """An array as a person can use it."""
        return array.tolist()


class NumberForm(ArrayForm):
    """A number.

    >>> NumberForm(mean=(0.0,), deviation=(1.0,)).read("2.5").tolist()
    [2.5]
    """

    kind: Literal["number"] = "number"

    def read(self, cell: object) -> Float64[np.ndarray, "1"]:
        """The number, alone in its array."""
        return np.array([number_of(cell)], dtype=np.float64)

    def answer(self, array: np.ndarray) -> float:
        """The number."""
        return float(array[0])


class VectorForm(ArrayForm):
    """A vector: a list, an array, text with separators, or the `Path` of a `.npy` file (from Python only).

    >>> VectorForm(mean=(0.0, 0.0), deviation=(1.0, 1.0), separator="|").read("1|2.5").tolist()
    [1.0, 2.5]
    """

    kind: Literal["vector"] = "vector"
    separator: str

    def read(self, cell: object) -> Float64[np.ndarray, "W"]:
        """As many numbers as there are means."""
        if isinstance(cell, str):
            cell = cell.split(self.separator)
        if isinstance(cell, Path):
            cell = media.array(cell)
        if not isinstance(cell, list | tuple | np.ndarray) or np.ndim(cell) != 1 or len(cell) != len(self.mean):
            raise CellError(f"expected {len(self.mean)} numbers")
        return np.array([number_of(one) for one in cell], dtype=np.float64)


class PictureForm(ArrayForm):
    """A picture, reduced; `size` is its height and width then, `mean` and `deviation` are those of each channel.

    >>> form = PictureForm(mean=(0.0,), deviation=(1.0,), size=(2, 3))
    >>> form.read(np.full((8, 8, 3), 9, dtype=np.uint8)).shape
    (2, 3, 1)
    """

    kind: Literal["image"] = "image"
    size: tuple[int, int]

    def read(self, cell: object) -> Float32[np.ndarray, "H W C"]:
        """Decoded, grey (ITU-R 601 luma) or colour, and resized: bilinear, antialiased."""
        from PIL import Image

        if media.several(cell) or (isinstance(cell, tuple) and len(cell) != 1):
            raise CellError("expected one picture, found several")
        pixels = media.image(cell[0] if isinstance(cell, tuple) else cell)
        grey = len(self.mean) == 1
        picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("L" if grey else "RGB")
        reduced = np.array(picture.resize(self.size[::-1], Image.Resampling.BILINEAR))
        return reduced.reshape(*self.size, len(self.mean)).astype(np.float32)

    def answer(self, array: np.ndarray) -> bytes:
        """A PNG of the reduced picture."""
        from PIL import Image

        pixels, out = array.round().clip(0, 255).astype(np.uint8), io.BytesIO()
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(out, format="PNG")
        return out.getvalue()


class SoundForm(ArrayForm):
    """A sound: the mean log-mel spectrum of each of `parts` equal parts of its time; `mean` is that of each band.

    >>> form = SoundForm(mean=(0.0,) * 8, deviation=(1.0,) * 8, parts=4, rate=8000, seconds=1.0, window=200, hop=80)
    >>> form.read((np.zeros(800, dtype=np.float32), 8000)).shape
    (4, 8)
    """

    kind: Literal["audio"] = "audio"
    parts: int
    rate: int
    seconds: float
    window: int
    hop: int

    def read(self, cell: object) -> np.ndarray:
        """Decoded, resampled, cut off, log-mel, averaged; a part of fewer frames than one shares its frame."""
        samples, rate = media.sound(cell)
        samples = media.resample(samples, rate, self.rate)[: round(self.seconds * self.rate)]
        frames = media.log_mel(samples, rate=self.rate, window=self.window, hop=self.hop, mels=len(self.mean))
        count, parts = len(frames), range(self.parts)
        edges = [(part * count // self.parts, -(-(part + 1) * count // self.parts)) for part in parts]
        return np.stack([frames[start:end].mean(axis=0) for start, end in edges])


AnyArrayForm = Annotated[NumberForm | VectorForm | PictureForm | SoundForm, Field(discriminator="kind")]
