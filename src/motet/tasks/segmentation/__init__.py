"""Segmentation: a class for every pixel of a picture."""

from motet.tasks.segmentation.codec import SegmentationCodec
from motet.tasks.segmentation.spec import Segmentation

__all__ = ["Segmentation", "SegmentationCodec"]
