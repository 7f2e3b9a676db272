"""Why one row is answered as it is."""

from motet.serving.explain.explanation import Explanation, explain_row, worths_of
from motet.serving.explain.parts import (
    PictureSaliency,
    Saliency,
    SoundSaliency,
    TextSaliency,
    part_weights,
    spread_over,
)
from motet.serving.explain.worth import worth_of

__all__ = [
    "Explanation",
    "PictureSaliency",
    "Saliency",
    "SoundSaliency",
    "TextSaliency",
    "explain_row",
    "part_weights",
    "spread_over",
    "worth_of",
    "worths_of",
]
