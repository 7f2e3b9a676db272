"""The families of pretrained models that are known, each with the class of `transformers` that runs it.

A closed registry: a model's own files name no class to be imported, and no code of theirs is run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from motet.core.errors import SpecError

Modality = Literal["text", "image", "audio", "video"]


@dataclass(frozen=True, slots=True)
class Family:
    """`name` of the class of `transformers`; `part`: where a configuration of several towers has this one's."""

    name: str
    part: str | None = None


FAMILIES: Mapping[Modality, Mapping[str, Family]] = {
    "text": {
        "bert": Family("BertModel"),
        "distilbert": Family("DistilBertModel"),
        "roberta": Family("RobertaModel"),
        "deberta-v2": Family("DebertaV2Model"),
        "modernbert": Family("ModernBertModel"),
        "t5": Family("T5EncoderModel"),
        "clip": Family("CLIPTextModel", part="text_config"),
        "clip_text_model": Family("CLIPTextModel"),
        "siglip": Family("SiglipTextModel", part="text_config"),
        "siglip_text_model": Family("SiglipTextModel"),
    },
    "image": {
        "vit": Family("ViTModel"),
        "convnextv2": Family("ConvNextV2Model"),
        "swin": Family("SwinModel"),
        "dinov2": Family("Dinov2Model"),
        "dinov3_vit": Family("DINOv3ViTModel"),
        "resnet": Family("ResNetModel"),
        "mobilenet_v2": Family("MobileNetV2Model"),
        "clip": Family("CLIPVisionModel", part="vision_config"),
        "clip_vision_model": Family("CLIPVisionModel"),
        "siglip": Family("SiglipVisionModel", part="vision_config"),
        "siglip_vision_model": Family("SiglipVisionModel"),
    },
    "audio": {
        "audio-spectrogram-transformer": Family("ASTModel"),
        "wav2vec2": Family("Wav2Vec2Model"),
        "hubert": Family("HubertModel"),
        "wavlm": Family("WavLMModel"),
        "whisper": Family("WhisperModel"),
    },
    "video": {
        "videomae": Family("VideoMAEModel"),
        "vjepa2": Family("VJEPA2Model"),
    },
}


def family_of(config: Mapping[str, Any], modality: Modality) -> tuple[Family, dict[str, Any]]:
    """The family of a model's `config.json`, and the configuration of its tower for this modality.

    Raises `SpecError` for a family that is not known, or known for another modality.

    >>> family_of({"model_type": "clip", "vision_config": {"hidden_size": 8}}, "image")[1]
    {'model_type': 'clip_vision_model', 'hidden_size': 8}
    """
    kind = str(config.get("model_type", ""))
    family = FAMILIES[modality].get(kind)
    if family is None:
        elsewhere = [other for other, known in FAMILIES.items() if kind in known]
        found = f"a model for {' and '.join(elsewhere)}" if elsewhere else "not a family that is known"
        raise SpecError(
            f"encoder.model: {kind or 'without a model_type'!r} is {found}; expected for {modality} one of "
            + ", ".join(FAMILIES[modality])
        )
    if family.part is None:
        return family, dict(config)
    kind = next(name for name, one in FAMILIES[modality].items() if one.name == family.name and one.part is None)
    return family, {"model_type": kind} | dict(config.get(family.part) or {})
