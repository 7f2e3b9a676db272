"""Pictures as the processor of a pretrained model frames them."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import UInt8

from motet import media
from motet.inputs.bag import only_part
from motet.inputs.base import readable, spread
from motet.inputs.image.preparation import ImagePreparation
from motet.inputs.pretrained import (
    Pretrained,
    config_of,
    family_of,
    framed,
    made_processor,
    processor_fields,
    scaling,
    width_of,
)


class PretrainedImagePreparation(ImagePreparation):
    """Pictures as the processor of a pretrained model frames them; `config` is that of the model."""

    config: dict[str, Any]
    processor: dict[str, Any]

    @property
    def width(self) -> int:
        """That of the model's states."""
        return width_of(self.config)

    def read(self, cell: object) -> UInt8[np.ndarray, "H W C"]:
        """Decode; resize and crop as the model's own processor does."""
        return framed(self._processor, in_colour(media.image(only_part(cell))))

    @cached_property
    def _processor(self) -> Any:
        return made_processor(self.processor)


def fit_pretrained(
    encoder: Pretrained,
    cells: Sequence[object],
    *,
    crop: float,
    flip: bool,
    zoom: float,
    jitter: float,
    randaugment: media.RandAugment | None = None,
) -> PretrainedImagePreparation:
    """As the model's files say; of the cells one has to be readable."""
    _, config = family_of(config_of(encoder.model), "image")
    fields = processor_fields(encoder.model, config)
    processor = made_processor(fields)
    picture = readable(spread(cells, 1), media.image)[0]
    mean, deviation = scaling(processor)
    height, width = framed(processor, in_colour(picture)).shape[:2]
    return PretrainedImagePreparation(
        size=(height, width),
        channels=3,
        mean=mean,
        deviation=deviation,
        crop=crop,
        flip=flip,
        zoom=zoom,
        jitter=jitter,
        randaugment=randaugment,
        config=config,
        processor=fields,
    )


def in_colour(picture: UInt8[np.ndarray, "H W C"]) -> UInt8[np.ndarray, "H W 3"]:
    """Three channels, all alike in a grey picture."""
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture
