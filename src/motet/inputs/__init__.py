"""The inputs room: one file per kind of input, each a Spec, what is fitted on the training rows, and an encoder."""

from typing import Annotated

from pydantic import Field

from motet.inputs.audio import Audio, AudioEncoder, AudioPreparation
from motet.inputs.base import Encoder, InputSpec, Preparation
from motet.inputs.category import Category, CategoryEncoder, CategoryPreparation
from motet.inputs.datetime import Datetime, DatetimeEncoder, DatetimePreparation
from motet.inputs.image import Image, ImageEncoder, ImagePreparation
from motet.inputs.number import Number, NumberEncoder, NumberPreparation
from motet.inputs.series import CNNLayers, Series, SeriesCNNEncoder, SeriesPreparation, SeriesTransformerEncoder
from motet.inputs.set import Set, SetEncoder, SetPreparation
from motet.inputs.text import GRULayers, Text, TextEncoder, TextPreparation, TransformerLayers
from motet.inputs.vector import Vector, VectorEncoder, VectorPreparation
from motet.inputs.video import SpaceTimeEncoder, Video, VideoEncoder, VideoPreparation

AnyInput = Annotated[
    Image | Text | Audio | Video | Number | Category | Vector | Datetime | Set | Series,
    Field(discriminator="kind"),
]

__all__ = [
    "AnyInput",
    "Audio",
    "AudioEncoder",
    "AudioPreparation",
    "CNNLayers",
    "Category",
    "CategoryEncoder",
    "CategoryPreparation",
    "Datetime",
    "DatetimeEncoder",
    "DatetimePreparation",
    "Encoder",
    "GRULayers",
    "Image",
    "ImageEncoder",
    "ImagePreparation",
    "InputSpec",
    "Number",
    "NumberEncoder",
    "NumberPreparation",
    "Preparation",
    "Series",
    "SeriesCNNEncoder",
    "SeriesPreparation",
    "SeriesTransformerEncoder",
    "Set",
    "SetEncoder",
    "SetPreparation",
    "SpaceTimeEncoder",
    "Text",
    "TextEncoder",
    "TextPreparation",
    "TransformerLayers",
    "Vector",
    "VectorEncoder",
    "VectorPreparation",
    "Video",
    "VideoEncoder",
    "VideoPreparation",
]
