"""Clips as the processor of a pretrained model frames them: as many frames as it reads, each a picture of its size."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from motet import media
from motet.core.errors import SpecError
from motet.inputs.base import readable, spread
from motet.inputs.image.pretrained import in_colour
from motet.inputs.pretrained import (
    Pretrained,
    config_of,
    family_of,
    made_processor,
    processor_fields,
    scaling,
    width_of,
)
from motet.inputs.pretrained.pictures import KIND, PROCESSOR
from motet.inputs.pretrained.source import fetched, library, read_json
from motet.inputs.video.preparation import VideoPreparation

VIDEO_PROCESSOR = "video_preprocessor_config.json"
COUNTS: Mapping[str, tuple[str, str]] = {
    "videomae": ("num_frames", "image_size"),
    "vjepa2": ("frames_per_clip", "crop_size"),
}
"""Where the configuration of a family has the number of frames, and the side of a frame."""
ENLARGED = 256 / 224
"""How much longer than the crop the shorter side is that V-JEPA 2 crops from."""
FIELDS = frozenset(
    {"size", "resample", "image_mean", "image_std", "rescale_factor"}
    | {f"do_{step}" for step in ("resize", "center_crop", "rescale", "normalize")}
)
"""Of a processor of videos, what one of pictures takes too."""


class PretrainedVideoPreparation(VideoPreparation):
    """Clips as the processor of a pretrained model frames them; `config` is that of the model."""

    config: dict[str, Any]
    processor: dict[str, Any]

    @property
    def width(self) -> int:
        """That of the model's states."""
        return width_of(self.config)

    def read(self, cell: object) -> UInt8[np.ndarray, "T H W C"]:
        """Decode; resize and crop as the model's own processor does. Behind a clip of fewer frames its last one is
        repeated.
        """
        frames = media.frames_of(cell, num_frames=self.frames, rate=self.rate)
        found = [framed_in(self._processor, in_colour(frame)) for frame in frames]
        return np.stack(found + found[-1:] * (self.frames - len(found)))

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"pixels": [n, T, C, H, W]}`, scaled as the model wants them."""
        return {"pixels": torch.stack([self.normalised(item) for item in items])}

    @cached_property
    def _processor(self) -> Any:
        return made_processor(self.processor)


def fit_pretrained(
    encoder: Pretrained,
    cells: Sequence[object],
    *,
    frames: int | Literal["auto"],
    rate: float | None,
    crop: float,
    flip: bool,
) -> PretrainedVideoPreparation:
    """As the model's files say; of the cells one has to be readable."""
    _, config = family_of(config_of(encoder.model), "video")
    field, _ = COUNTS[str(config["model_type"])]
    config = config if frames == "auto" else config | {field: frames}
    fields = clip_processor_fields(encoder.model, config)
    processor = made_processor(fields)
    clip = readable(spread(cells, 1), lambda cell: next(media.frames_of(cell, num_frames=1)))[0]
    mean, deviation = scaling(processor)
    height, width = framed_in(processor, in_colour(clip)).shape[:2]
    return PretrainedVideoPreparation(
        frames=_count(config, field),
        rate=rate,
        size=(height, width),
        channels=3,
        mean=mean,
        deviation=deviation,
        crop=crop,
        flip=flip,
        config=config,
        processor=fields,
    )


def clip_processor_fields(model: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the model's files say of the frames, as of a processor of pictures that needs Pillow and numpy alone.

    Where they say nothing, frames are those of its authors: the shorter side of VideoMAE as long as the crop, that of
    V-JEPA 2 by 256/224 longer. Deviation: Pillow resizes, where V-JEPA 2's own processor has torchvision do it.
    """
    family, folder = str(config["model_type"]), Path(model)
    if (folder / PROCESSOR).is_file() or (family == "videomae" and not folder.is_dir()):
        return processor_fields(model, config)
    found = _said_of_videos(model)
    crop = found.pop("crop_size", config.get(COUNTS[family][1], 224))
    side = int(crop["height"] if isinstance(crop, Mapping) else crop)
    if family == "vjepa2":  # whose processor says the shorter side itself
        found.pop("size", None)
    return own_fields(family, side) | {name: value for name, value in found.items() if name in FIELDS}


def own_fields(family: str, side: int) -> dict[str, Any]:
    """How the authors frame a clip for a model of this side.

    >>> own_fields("vjepa2", 256)["size"]
    {'shortest_edge': 292}
    """
    shorter = int(side * ENLARGED) if family == "vjepa2" else side
    framing = {"size": {"shortest_edge": shorter}, "crop_size": {"height": side, "width": side}}
    return {KIND: "VideoMAE", "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]} | framing


def framed_in(processor: Any, frame: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The frame as the model sees it, before its numbers are scaled."""
    found = np.asarray(processor(frame, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"])
    return np.ascontiguousarray(found.reshape(found.shape[-3:]).transpose(1, 2, 0).astype(np.uint8))


def _said_of_videos(model: str) -> dict[str, Any]:
    path = Path(model) / VIDEO_PROCESSOR
    if not Path(model).is_dir():
        with fetched(model):
            path = Path(library().utils.cached_file(model, VIDEO_PROCESSOR))
    return read_json(path) if path.is_file() else {}


def _count(config: Mapping[str, Any], field: str) -> int:
    """Frames of a clip, a multiple of those that the model reads as one."""
    made, together = int(config.get(field, 0) or 0), int(config.get("tubelet_size", 2) or 1)
    if made < 1 or made % together:
        raise SpecError(
            f"frames: the model reads {together} at a time, so a multiple of that is expected, found {made}"
        )
    return made
