"""Which cells of two inputs belong together: a picture and its description, a question and its answer."""

from motet.tasks.matching.codec import MatchingCodec
from motet.tasks.matching.head import MatchingHead
from motet.tasks.matching.spec import Matching

__all__ = ["Matching", "MatchingCodec", "MatchingHead"]
