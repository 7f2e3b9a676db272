"""What the encoder felt, seen in the cell: pieces of the user's text, places of the picture, times of the sound."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64
from torch import Tensor

from motet import media
from motet.inputs.audio import AudioPreparation
from motet.inputs.bag import only_part
from motet.inputs.base import Preparation
from motet.inputs.image import ImagePreparation
from motet.inputs.text import TermPreparation, TextPreparation
from motet.inputs.text.runs import Span
from motet.text import written


@dataclass(frozen=True, slots=True)
class TextSaliency:
    """The whole text as it is written, in pieces; what nothing was made of weighs 0."""

    pieces: Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class PictureSaliency:
    """One weight for each pixel of the picture as it is in its file."""

    heat: Float64[np.ndarray, "H W"]


@dataclass(frozen=True, slots=True)
class SoundSaliency:
    """One weight for each mel band, lowest first, and frame; a frame starts `seconds_per_frame` after the last."""

    heat: Float64[np.ndarray, "M F"]
    seconds_per_frame: float


Saliency: TypeAlias = TextSaliency | PictureSaliency | SoundSaliency


def part_weights(preparation: Preparation, cell: object, felt: Tensor) -> Saliency | None:
    """The weights of what was felt of one cell, `[*felt]`, where a person can see them; their sum stays as it is."""
    if isinstance(preparation, TextPreparation | TermPreparation):
        weights = felt.double().sum(dim=-1).tolist()
        return TextSaliency(pieces(written(cell), preparation.places(cell), weights))
    if isinstance(preparation, ImagePreparation):
        heat = felt.double().sum(dim=0).numpy()
        return PictureSaliency(spread_over(heat, *media.image(only_part(cell)).shape[:2]))
    if isinstance(preparation, AudioPreparation):
        frames = len(preparation.read(cell))
        return SoundSaliency(felt[:frames].double().numpy().T, preparation.hop / preparation.rate)
    return None


def pieces(text: str, places: Sequence[Sequence[Span]], weights: Sequence[float]) -> list[tuple[str, float]]:
    """The text cut where something begins or ends; what stands in several places is shared evenly among them.

    Places that overlap are one piece. What has no place in the text, its start, is left out.

    >>> pieces("a cat", [[], [(2, 5)], [(2, 5)]], [9.0, 1.0, 0.5])
    [('a ', 0.0), ('cat', 1.5)]
    """
    parts = sorted(
        (start, end, weight / len(spans))
        for spans, weight in zip(places, weights, strict=False)
        for start, end in spans
        if end > start
    )
    found: list[tuple[int, int, float]] = []
    for start, end, weight in parts:
        if found and start < found[-1][1]:
            before, until, sum_ = found.pop()
            found.append((before, max(until, end), sum_ + weight))
        else:
            found.append((start, end, weight))
    cut, at = [], 0
    for start, end, weight in found:
        cut += [(text[at:start], 0.0)] if start > at else []
        cut.append((text[start:end], weight))
        at = end
    return cut + ([(text[at:], 0.0)] if at < len(text) else [])


def spread_over(heat: Float64[np.ndarray, "h w"], height: int, width: int) -> Float64[np.ndarray, "H W"]:
    """The same heat over another number of pixels, bilinear, its sum kept.

    >>> spread_over(np.array([[0.0, 4.0]]), 2, 2).tolist()
    [[0.0, 2.0], [0.0, 2.0]]
    """
    from PIL import Image

    if heat.shape == (height, width):
        return heat
    picture = Image.fromarray(heat.astype(np.float32))
    wide = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float64)
    return wide * (heat.size / wide.size)


def as_plain(saliency: Saliency) -> dict[str, object]:
    """The fields as JSON has them."""
    if isinstance(saliency, TextSaliency):
        return {"pieces": [list(piece) for piece in saliency.pieces]}
    plain: dict[str, object] = {"heat": saliency.heat.tolist()}
    return plain | ({"seconds_per_frame": saliency.seconds_per_frame} if isinstance(saliency, SoundSaliency) else {})
