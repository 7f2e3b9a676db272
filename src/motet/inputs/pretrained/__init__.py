"""Models that were trained before, by others, as encoders: found, built, read and tuned through `transformers`."""

from motet.inputs.pretrained.backbone import Backbone
from motet.inputs.pretrained.encoder import PretrainedEncoder
from motet.inputs.pretrained.families import FAMILIES, Family, Modality, family_of
from motet.inputs.pretrained.input import MayBePretrained
from motet.inputs.pretrained.known import KnownStates
from motet.inputs.pretrained.pictures import framed, made_processor, processor_fields, scaling
from motet.inputs.pretrained.sounds import (
    extractor_fields,
    frames_of,
    heard_frames,
    heard_samples,
    least_samples,
    made_extractor,
    spare_frames,
)
from motet.inputs.pretrained.source import built, config_of, tokenizer_of, width_of
from motet.inputs.pretrained.spec import MiniLM, Pretrained

__all__ = [
    "FAMILIES",
    "Backbone",
    "Family",
    "KnownStates",
    "MayBePretrained",
    "MiniLM",
    "Modality",
    "Pretrained",
    "PretrainedEncoder",
    "built",
    "config_of",
    "extractor_fields",
    "family_of",
    "framed",
    "frames_of",
    "heard_frames",
    "heard_samples",
    "least_samples",
    "made_extractor",
    "made_processor",
    "processor_fields",
    "scaling",
    "spare_frames",
    "tokenizer_of",
    "width_of",
]
