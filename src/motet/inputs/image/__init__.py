"""Images: resized, seen in other views while training, and encoded by a CNN from scratch or a pretrained model."""

from motet.inputs.image.encoder import ImageEncoder
from motet.inputs.image.preparation import ImagePreparation
from motet.inputs.image.spec import Image

__all__ = ["Image", "ImageEncoder", "ImagePreparation"]
