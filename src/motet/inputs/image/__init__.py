"""Images: resized, seen in other views while training, and encoded by a CNN, a ViT, HOG or a pretrained model."""

from motet.inputs.image.encoder import ImageEncoder
from motet.inputs.image.hog import HistogramEncoder, HistogramLayers
from motet.inputs.image.preparation import ImagePreparation
from motet.inputs.image.spec import Image
from motet.inputs.image.vit import PatchEncoder, TransformerPatches

__all__ = [
    "HistogramEncoder",
    "HistogramLayers",
    "Image",
    "ImageEncoder",
    "ImagePreparation",
    "PatchEncoder",
    "TransformerPatches",
]
