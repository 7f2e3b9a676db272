"""Saliency to look at: what spoke for the answer is red, what spoke against it blue, the stronger the fuller."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from motet.run.gallery import LONGEST_TEXT, png_uri, thumbnail
from motet.serving.explain import PictureSaliency, Saliency, SoundSaliency, TextSaliency, spread_over

if TYPE_CHECKING:
    from PIL import Image

FOR, AGAINST = np.array([200.0, 20.0, 30.0]), np.array([20.0, 60.0, 200.0])
PALEST = 150.0  # of the grey that is under it: black becomes this, white stays white
STRONGEST = 99.5  # the percentile of weights that is drawn in full
SOUND_HEIGHT, SOUND_WIDTHS = 64, (160, 320)


def drawn(
    saliency: Saliency, source: object, frames: Float64[np.ndarray, "F M"] | None
) -> list[tuple[str, float]] | str:
    """Pieces of a text with weights from -1 to 1; of a picture or a sound a picture as a data URI, the former as large
    as its thumbnail, the latter its spectrogram, whose `frames` are given, low below.
    """
    if isinstance(saliency, TextSaliency):
        return scaled(saliency)
    if isinstance(saliency, PictureSaliency):
        small = thumbnail(source).convert("L")
        return png_uri(painted(np.asarray(small, dtype=np.float64), spread_over(saliency.heat, *small.size[::-1])))
    assert isinstance(saliency, SoundSaliency)
    assert frames is not None
    size = (SOUND_HEIGHT, int(np.clip(len(frames), *SOUND_WIDTHS)))
    loud = frames.T[::-1].astype(np.float64)
    grey = 255 * (loud.max() - loud) / max(float(np.ptp(loud)), 1e-9)
    return png_uri(
        painted(spread_over(grey, *size) * size[0] * size[1] / grey.size, spread_over(saliency.heat[::-1], *size))
    )


def scaled(saliency: TextSaliency) -> list[tuple[str, float]]:
    """The pieces of the beginning of a text, the weightiest of all at 1 or -1.

    >>> scaled(TextSaliency([("so ", 0.0), ("good", 0.2), ("!", -0.1)]))
    [('so ', 0.0), ('good', 1.0), ('!', -0.5)]
    """
    most = max((abs(weight) for _, weight in saliency.pieces), default=0.0) or 1.0
    found, length = [], 0
    for text, weight in saliency.pieces:
        if length >= LONGEST_TEXT:
            break
        found.append((text[: LONGEST_TEXT - length], round(weight / most, 4)))
        length += len(text)
    return found


def painted(grey: Float64[np.ndarray, "H W"], heat: Float64[np.ndarray, "H W"]) -> "Image.Image":
    """Heat over a pale picture."""
    from PIL import Image

    most = max(float(np.percentile(np.abs(heat), STRONGEST)), 1e-12)
    strength = np.minimum(1, np.abs(heat) / most)[:, :, None]
    pale = (PALEST + grey * (255 - PALEST) / 255)[:, :, None]
    colours = np.where(heat[:, :, None] > 0, FOR, AGAINST)
    return Image.fromarray(np.clip(pale * (1 - strength) + colours * strength, 0, 255).astype(np.uint8))
