"""Images: decode, resize, and in training other views and lights. Shapes: H, W, C of a picture; h, w resized."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Float, UInt8
from pydantic import Field, PositiveInt
from torch import Tensor

from motet import media
from motet.inputs.bag import BagEncoder, BagPreparation, only_part, parts_of
from motet.inputs.base import InputSpec, Preparation, readable, spread
from motet.inputs.imagemaps import ImageEncoder

LARGEST_SIDE = 128  # of an "auto" size
SIZES_SAMPLED = 2000
PIXELS_SAMPLED = 256


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

    @property
    def varies(self) -> bool:
        """Whether pictures are seen in other views or lights in training."""
        return self.framing.varies or self.jitter > 0

    @property
    def framing(self) -> media.Framing:
        """How pictures are shifted, enlarged and mirrored in training."""
        return media.Framing(size=self.size, crop=self.crop, flip=self.flip, zoom=self.zoom)

    def read(self, cell: object) -> UInt8[np.ndarray, "H W C"]:
        """Decode and resize; the aspect ratio is not kept."""
        return resized(media.image(only_part(cell)), size=self.size, channels=self.channels)

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Another view (see `media.Framing`), then by `jitter` another light (see `media.relit`)."""
        seen = self.framing.draw(generator).of(item)
        return media.relit(seen, generator, jitter=self.jitter) if self.jitter else seen

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"pixels": [n, C, H, W]}`, each channel with mean 0 and deviation 1 over the training pictures."""
        pixels = torch.from_numpy(np.stack(items)).permute(0, 3, 1, 2).to(torch.float32)
        mean, deviation = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.deviation))
        return {"pixels": pixels.sub_(mean).div_(deviation)}


class Image(InputSpec):
    """An image, or several: a small residual CNN trained from scratch."""

    kind: Literal["image"] = "image"
    paper: ClassVar[str] = "He et al., Deep Residual Learning for Image Recognition, CVPR 2016"
    media: ClassVar[bool] = True
    shown_as = "picture"
    separator: str = Field(
        default="|", min_length=1, description="What stands between the paths where a cell names several pictures."
    )
    size: tuple[PositiveInt, PositiveInt] | Literal["auto"] = Field(
        default="auto",
        description="Height and width every picture is resized to; the files' median, at most 128, if 'auto'.",
    )
    channels: Literal[1, 3, "auto"] = Field(
        default="auto", description="1 grey, 3 colour; colour if any file has it, if 'auto'."
    )
    crop: float = Field(
        default=0.1, ge=0, lt=1, description="Random shift in training, at most this fraction of each side."
    )
    flip: bool = Field(default=False, description="Mirror at random in training; not for pictures that can be read.")
    zoom: float = Field(default=0.0, ge=0, lt=1, description="Enlarge or shrink in training, at most by this fraction.")
    jitter: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Change brightness, contrast and saturation in training, each by at most this fraction.",
    )
    first: int = Field(
        default=16, ge=4, description="Channels of the first stage; they double with each halving up to `width`."
    )
    width: int = Field(default=128, ge=1, description="Width of the tokens, and the most channels a stage has.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout before the last projection.")

    def fit(self, cells: Iterable[object]) -> ImagePreparation | BagPreparation:
        """Size and channels from up to 2,000 headers, mean and deviation from up to 256 pictures, evenly spread.

        Rows are bags of pictures where there are several columns, or where any of the cells holds more than one.

        >>> Image().fit([np.zeros((20, 30), dtype=np.uint8)]).size
        (20, 30)
        """
        rows = list(map(parts_of, cells))
        one = self._fit([picture for row in rows for picture in row])
        columns = 1 if self.columns is None or isinstance(self.columns, str) else len(self.columns)
        return BagPreparation(part=one) if max([columns, *map(len, rows)]) > 1 else one

    def restore(self, state: dict[str, Any]) -> ImagePreparation | BagPreparation:
        """The preparation a bundle holds."""
        if "part" in state:
            return BagPreparation(part=ImagePreparation.model_validate(state["part"]))
        return ImagePreparation.model_validate(state)

    def resolved(self, preparation: Preparation) -> Self:
        """With the size and channels that were fitted."""
        one = _of_one(preparation)
        return self.model_copy(update={"size": one.size, "channels": one.channels})

    def build(self, preparation: Preparation) -> ImageEncoder | BagEncoder:
        """A fresh encoder for pictures prepared so."""
        one = _of_one(preparation)
        encoder = ImageEncoder(
            size=one.size, channels=one.channels, first=self.first, width=self.width, dropout=self.dropout
        )
        return BagEncoder(encoder) if isinstance(preparation, BagPreparation) else encoder

    def _fit(self, cells: Sequence[object]) -> ImagePreparation:
        shapes = np.array(readable(spread(cells, SIZES_SAMPLED), media.image_size))
        size = capped(np.median(shapes[:, :2], axis=0)) if self.size == "auto" else self.size
        channels: Literal[1, 3] = (3 if shapes[:, 2].max() > 1 else 1) if self.channels == "auto" else self.channels
        sample = readable(
            spread(cells, PIXELS_SAMPLED), lambda cell: resized(media.image(cell), size=size, channels=channels)
        )
        pixels = np.stack(sample).reshape(-1, channels).astype(np.float64)
        return ImagePreparation(
            size=size,
            channels=channels,
            mean=tuple(pixels.mean(axis=0).tolist()),
            deviation=tuple(np.maximum(pixels.std(axis=0), 1.0).tolist()),
            crop=self.crop,
            flip=self.flip,
            zoom=self.zoom,
            jitter=self.jitter,
        )


def _of_one(preparation: Preparation) -> ImagePreparation:
    """How each picture is prepared."""
    one = preparation.part if isinstance(preparation, BagPreparation) else preparation
    assert isinstance(one, ImagePreparation)
    return one


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


def capped(size: Float[np.ndarray, "2"]) -> tuple[int, int]:
    """Height and width, shrunk together until the longer side is at most 128.

    >>> capped(np.array([512, 256]))
    (128, 64)
    """
    height, width = np.maximum(1, np.rint(size * min(1, LARGEST_SIDE / size.max()))).astype(int).tolist()
    return height, width
