"""What the user writes of an image, how it is fitted, and which encoder reads it."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from jaxtyping import Float
from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from motet import media
from motet.core.component import ComponentSpec, shorthand
from motet.inputs.bag import BagEncoder, BagPreparation, parts_of
from motet.inputs.base import Preparation, readable, spread
from motet.inputs.image.encoder import ImageEncoder
from motet.inputs.image.hog import HistogramEncoder, HistogramLayers
from motet.inputs.image.preparation import ImagePreparation, resized
from motet.inputs.image.pretrained import PretrainedImagePreparation, fit_pretrained
from motet.inputs.image.vit import PatchEncoder, TransformerPatches
from motet.inputs.pretrained import (
    MayBePretrained,
    Pretrained,
    PretrainedEncoder,
)
from motet.media import RandAugment

WIDTH = 128
"""Of the tokens of encoders that are trained from scratch."""
LARGEST_SIDE = 128  # of an "auto" size
SIZES_SAMPLED = 2000
PIXELS_SAMPLED = 256


class ConvolutionalLayers(ComponentSpec):
    """A small residual CNN, trained from scratch, with the input's fields `first` and `width`."""

    kind: Literal["cnn"] = "cnn"
    paper: ClassVar[str] = "He et al., Deep Residual Learning for Image Recognition, CVPR 2016"


AnyImageEncoder = Annotated[
    Annotated[ConvolutionalLayers | TransformerPatches | HistogramLayers | Pretrained, Field(discriminator="kind")],
    BeforeValidator(shorthand),
]
FromScratch = ImageEncoder | PatchEncoder | HistogramEncoder


class Image(MayBePretrained):
    """An image, or several: a small CNN or vision transformer from scratch, histograms, or a pretrained model.

    A pretrained model's processor says the size and the channels; `size` and `channels` are of the others, `first` of
    a cnn.
    """

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
    augment: Annotated[RandAugment, BeforeValidator(shorthand)] | None = Field(
        default=None, description="randaugment, by its name or with its fields: operations on pictures in training."
    )
    encoder: AnyImageEncoder = Field(
        default=ConvolutionalLayers(), description="cnn, vit or hog, by its name or with its fields; or pretrained."
    )
    first: int = Field(
        default=16, ge=4, description="Channels of a cnn's first stage; they double with each halving up to `width`."
    )
    width: PositiveInt | Literal["auto"] = Field(
        default="auto",
        description="Width of the tokens, and of a cnn the most channels of a stage; auto: 128, or that of a "
        "pretrained model.",
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Dropout before the last projection; of a vit, of its patches and in each block.",
    )

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        width = WIDTH if self.width == "auto" else self.width
        if isinstance(self.encoder, TransformerPatches) and width % self.encoder.heads:
            raise ValueError(f"the {self.encoder.heads} heads of the vit must divide the width {width}")
        return self

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
        kind = ImagePreparation if self.pretrained is None else PretrainedImagePreparation
        if "part" in state:
            return BagPreparation(part=kind.model_validate(state["part"]))
        return kind.model_validate(state)

    def resolved(self, preparation: Preparation) -> Self:
        """With the size and channels that were fitted."""
        one = _of_one(preparation)
        own = one.width if isinstance(one, PretrainedImagePreparation) else WIDTH
        width = own if self.width == "auto" else self.width
        encoder = self.encoder
        if isinstance(encoder, TransformerPatches):
            encoder = encoder.model_copy(update={"patch": encoder.side(one.size)})
        found = {"size": one.size, "channels": one.channels, "width": width, "encoder": encoder}
        return self.model_copy(update=found)

    def trained_as(self, preparation: Preparation) -> Preparation:
        """With other views and lights as they are here, of a bag those of each picture."""
        if isinstance(preparation, BagPreparation):
            return preparation.model_copy(update={"part": self.trained_as(preparation.part)})
        return super().trained_as(preparation).model_copy(update={"randaugment": self.augment})

    def build(self, preparation: Preparation) -> FromScratch | PretrainedEncoder | BagEncoder:
        """A fresh encoder for pictures prepared so."""
        one = _of_one(preparation)
        encoder: FromScratch | PretrainedEncoder
        if self.pretrained is not None:
            assert isinstance(one, PretrainedImagePreparation)
            width = None if self.width == "auto" else self.width
            encoder = self.pretrained.build(one.config, "image", width=width, dropout=self.dropout)
        else:
            encoder = self._from_scratch(one)
        return BagEncoder(encoder) if isinstance(preparation, BagPreparation) else encoder

    def _from_scratch(self, one: ImagePreparation) -> FromScratch:
        width = WIDTH if self.width == "auto" else self.width
        if isinstance(self.encoder, TransformerPatches):
            return self.encoder.build(size=one.size, channels=one.channels, width=width, dropout=self.dropout)
        if isinstance(self.encoder, HistogramLayers):
            return self.encoder.build(size=one.size, deviation=one.deviation, width=width, dropout=self.dropout)
        return ImageEncoder(size=one.size, channels=one.channels, first=self.first, width=width, dropout=self.dropout)

    def _fit(self, cells: Sequence[object]) -> ImagePreparation:
        if self.pretrained is not None:
            return fit_pretrained(
                self.pretrained,
                cells,
                crop=self.crop,
                flip=self.flip,
                zoom=self.zoom,
                jitter=self.jitter,
                randaugment=self.augment,
            )
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
            randaugment=self.augment,
        )


def _of_one(preparation: Preparation) -> ImagePreparation:
    """How each picture is prepared."""
    one = preparation.part if isinstance(preparation, BagPreparation) else preparation
    assert isinstance(one, ImagePreparation)
    return one


def capped(size: Float[np.ndarray, "2"]) -> tuple[int, int]:
    """Height and width, shrunk together until the longer side is at most 128.

    >>> capped(np.array([512, 256]))
    (128, 64)
    """
    height, width = np.maximum(1, np.rint(size * min(1, LARGEST_SIDE / size.max()))).astype(int).tolist()
    return height, width
