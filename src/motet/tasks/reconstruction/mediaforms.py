"""What of a picture or a sound is to be said again: much less than there is of it.

Shapes: n items; H, W, C of a prepared picture, h, w of a reduced one; F frames, M bands, P parts of a sound.
"""

import io
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8

from motet import media
from motet.core.errors import CellError
from motet.tasks.reconstruction.arrayforms import ArrayForm


class ReducedForm(ArrayForm):
    """A form that leaves little of a cell, so that mean and deviation are those of what is left."""

    smallest: ClassVar[float]
    """A deviation is taken to be at least this, so that what never changes stays near zero."""

    def fitted(self, items: Sequence[np.ndarray]) -> Self:
        """With the mean of each channel or band, and how far it deviates from the mean array of these items.

            deviation_c^2 = mean over n and places p of (x_npc - mean over n of x_npc)^2

        So the mean array of these items, standardised, is off by a mean square of 1.
        """
        arrays = self.arrays(items).astype(np.float64)
        places = tuple(range(arrays.ndim - 1))
        deviation = np.sqrt(((arrays - arrays.mean(axis=0)) ** 2).mean(axis=places))
        mean = tuple(arrays.mean(axis=places).tolist())
        return self.model_copy(update={"mean": mean, "deviation": tuple(np.maximum(deviation, self.smallest).tolist())})


class PictureForm(ReducedForm):
    """A picture in the view the input has of it, reduced; `size` is its height and width then.

    It is shifted, enlarged and mirrored as the picture is that is read under the same generator, draw for draw, and
    stays in its own light, in whatever light the input shows it.

    >>> framing = media.Framing(size=(4, 6), crop=0.1, flip=True)
    >>> form = PictureForm(mean=(0.0,), deviation=(1.0,), framing=framing, size=(2, 3))
    >>> form.arrays([form.read(np.full((8, 8, 3), 9, dtype=np.uint8))]).shape
    (1, 2, 3, 1)
    """

    smallest: ClassVar[float] = 1.0
    kind: Literal["image"] = "image"
    framing: media.Framing
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and channels when it is reduced."""
        return (*self.size, len(self.mean))

    @property
    def varies(self) -> bool:
        """Whether the view does."""
        return self.framing.varies

    def read(self, cell: object) -> UInt8[np.ndarray, "H W C"]:
        """Decoded, grey (ITU-R 601 luma) or colour, and resized as the input's: bilinear, antialiased."""
        from PIL import Image

        if media.several(cell) or (isinstance(cell, tuple) and len(cell) != 1):
            raise CellError("expected one picture, found several")
        pixels = media.image(cell[0] if isinstance(cell, tuple) else cell)
        size, channels = self.framing.size, len(self.mean)
        picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        picture = picture.convert("L" if channels == 1 else "RGB")
        return np.array(picture.resize(size[::-1], Image.Resampling.BILINEAR)).reshape(*size, channels)

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The view that the input has under the same generator."""
        return self.framing.draw(generator).of(item)

    def arrays(self, items: Sequence[np.ndarray]) -> Float32[np.ndarray, "n h w C"]:
        """Reduced: bilinear, antialiased."""
        pixels = torch.from_numpy(np.stack(items)).permute(0, 3, 1, 2).float().contiguous()
        reduced = F.interpolate(pixels, size=self.size, mode="bilinear", antialias=True, align_corners=False)
        return reduced.permute(0, 2, 3, 1).numpy()

    def answer(self, array: np.ndarray) -> bytes:
        """A PNG of the reduced picture."""
        from PIL import Image

        pixels, out = array.round().clip(0, 255).astype(np.uint8), io.BytesIO()
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(out, format="PNG")
        return out.getvalue()


class SoundForm(ReducedForm):
    """A sound: the mean log-mel spectrum of each of `parts` equal parts of its time; `mean` is that of each band.

    >>> form = SoundForm(mean=(0.0,) * 8, deviation=(1.0,) * 8, parts=4, rate=8000, seconds=1.0, window=200, hop=80)
    >>> form.read((np.zeros(800, dtype=np.float32), 8000)).shape
    (4, 8)
    """

    smallest: ClassVar[float] = 0.1
    kind: Literal["audio"] = "audio"
    parts: int
    rate: int
    seconds: float
    window: int
    hop: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Parts and bands."""
        return (self.parts, len(self.mean))

    def read(self, cell: object) -> Float[np.ndarray, "P M"]:
        """Decoded, resampled, cut off, log-mel, averaged; a part of fewer frames than one shares its frame."""
        samples, rate = media.sound(cell)
        samples = media.resample(samples, rate, self.rate)[: round(self.seconds * self.rate)]
        frames = media.log_mel(samples, rate=self.rate, window=self.window, hop=self.hop, mels=len(self.mean))
        count, parts = len(frames), range(self.parts)
        edges = [(part * count // self.parts, -(-(part + 1) * count // self.parts)) for part in parts]
        return np.stack([frames[start:end].mean(axis=0) for start, end in edges])
