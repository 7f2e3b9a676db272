"""Tagging the words of a text: parts of speech, names, anything that is said word by word."""

from motet.tasks.tagging.codec import TaggingCodec
from motet.tasks.tagging.head import TaggingHead
from motet.tasks.tagging.spec import Tagging

__all__ = ["Tagging", "TaggingCodec", "TaggingHead"]
