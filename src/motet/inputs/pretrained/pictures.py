"""Pictures as a pretrained model wants them: by its own processor, of the kind that needs Pillow and numpy alone.

Shapes: H, W of the file, h, w of what the model reads.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from motet.core.errors import SpecError
from motet.inputs.pretrained.source import fetched, library, read_json

PROCESSOR = "preprocessor_config.json"
KIND = "image_processor_type"
PROCESSORS: Mapping[str, str] = {
    "ViT": "ViTImageProcessorPil",
    "DINOv3ViT": "ViTImageProcessorPil",
    "ConvNext": "ConvNextImageProcessorPil",
    "Bit": "BitImageProcessorPil",
    "MobileNetV2": "MobileNetV2ImageProcessorPil",
    "CLIP": "CLIPImageProcessorPil",
    "Siglip": "SiglipImageProcessorPil",
    "VideoMAE": "VideoMAEImageProcessorPil",
}
"""By what stands before ImageProcessor in the name a model's files give."""


def processor_fields(model: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the model's files say of its processor; where they say nothing, pictures of its size, from -1 to 1."""
    path = Path(model) / PROCESSOR
    if path.is_file():
        found = read_json(path)
    elif Path(model).is_dir():
        side = config.get("image_size", 224)
        found = {KIND: "ViTImageProcessor", "size": {"height": side, "width": side}}
    else:
        with fetched(model):
            found, _ = library().ImageProcessingMixin.get_image_processor_dict(model)
    found = {name: value for name, value in found.items() if not name.startswith("_") and name != "auto_map"}
    kind = str(found.get(KIND) or found.pop("feature_extractor_type", ""))
    before = kind.partition("ImageProcessor")[0].partition("FeatureExtractor")[0]
    if before not in PROCESSORS:
        raise SpecError(
            f"encoder.model: {PROCESSOR} names {kind or 'nothing'!r}; expected an image processor of "
            + ", ".join(PROCESSORS)
        )
    return found | {KIND: before}


def made_processor(fields: Mapping[str, Any]) -> Any:
    """The processor of these fields."""
    kind = getattr(library(), PROCESSORS[str(fields[KIND])])
    return kind(**{name: value for name, value in fields.items() if name != KIND})


def framed(processor: Any, picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The picture as the model sees it, before its numbers are scaled."""
    found = processor(picture, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
    return np.ascontiguousarray(np.asarray(found).transpose(1, 2, 0).astype(np.uint8))


def scaling(processor: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What is subtracted from the pixels, from 0 to 255, and what they are then divided by."""
    factor = float(processor.rescale_factor) if processor.do_rescale else 1.0
    mean, deviation = (
        (processor.image_mean, processor.image_std) if processor.do_normalize else ((0.0,) * 3, (1.0,) * 3)
    )
    return tuple(one / factor for one in mean), tuple(one / factor for one in deviation)
