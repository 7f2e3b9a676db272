"""Pictures of one size: decode, resize, and in training other views and lights. H, W, C of a picture; h, w resized."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from motet import media
from motet.inputs.bag import only_part
from motet.inputs.base import Preparation, noisy


class ImagePreparation(Preparation):
    """One size and one number of channels for every picture, and how pixels are normalised."""

    size: tuple[int, int]
    channels: Literal[1, 3]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    crop: float
    flip: bool
    zoom: float = 0.0
    jitter: float = 0.0
    randaugment: media.RandAugment | None = None

    @property
    def varies(self) -> bool:
        """Whether pictures are seen in other views or lights in training."""
        return self.framing.varies or self.jitter > 0

    @property
    def variations(self) -> Mapping[str, object]:
        """Those that are not as they would be without."""
        still = {"crop": 0, "flip": False, "zoom": 0, "jitter": 0}
        found = {name: value for name, value in still.items() if getattr(self, name) != value}
        return found | ({"augment": None} if self.randaugment else {})

    @property
    def framing(self) -> media.Framing:
        """How pictures are shifted, enlarged, mirrored and otherwise operated on in training."""
        return media.Framing(
            size=self.size, crop=self.crop, flip=self.flip, zoom=self.zoom, randaugment=self.randaugment
        )

    def read(self, cell: object) -> UInt8[np.ndarray, "H W C"]:
        """Decode and resize; the aspect ratio is not kept."""
        return resized(media.image(only_part(cell)), size=self.size, channels=self.channels)

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Another view (see `media.Framing`), then by `jitter` another light (see `media.relit`)."""
        seen = self.framing.draw(generator).of_picture(item)
        return media.relit(seen, generator, jitter=self.jitter) if self.jitter else seen

    def distorted(
        self, item: np.ndarray, level: float, generator: np.random.Generator, *, other: np.ndarray
    ) -> np.ndarray:
        """Each pixel plus normal noise of `level` times the deviation of its channel."""
        return noisy(item, level * np.array(self.deviation), generator)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"pixels": [n, C, H, W]}`, each channel with mean 0 and deviation 1 over the training pictures."""
        pixels = torch.from_numpy(np.stack(items)).permute(0, 3, 1, 2).to(torch.float32)
        mean, deviation = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.deviation))
        return {"pixels": pixels.sub_(mean).div_(deviation)}

    def blank(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The mean of the training pictures, everywhere."""
        return {"pixels": torch.zeros_like(values["pixels"])}


def resized(picture: UInt8[np.ndarray, "H W C"], *, size: tuple[int, int], channels: int) -> UInt8[np.ndarray, "h w c"]:
    """A picture of another size (bilinear, antialiased) and grey (ITU-R 601 luma) or colour.

    >>> resized(np.zeros((8, 8, 3), dtype=np.uint8), size=(4, 6), channels=1).shape
    (4, 6, 1)
    """
    from PIL import Image as Pillow

    same_channels = picture.shape[2] == channels
    if picture.shape[:2] == size and same_channels:
        return picture
    pillow = Pillow.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    pillow = pillow if same_channels else pillow.convert("L" if channels == 1 else "RGB")
    return np.array(pillow.resize(size[::-1], Pillow.Resampling.BILINEAR)).reshape(*size, channels)
