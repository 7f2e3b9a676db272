"""Videos: frames evenly spread in time, seen in other views while training, and encoded from scratch or pretrained."""

from motet.inputs.video.encoder import VideoEncoder
from motet.inputs.video.preparation import VideoPreparation
from motet.inputs.video.spacetime import SpaceTimeEncoder
from motet.inputs.video.spec import Video

__all__ = ["SpaceTimeEncoder", "Video", "VideoEncoder", "VideoPreparation"]
