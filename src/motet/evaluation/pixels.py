"""What a report shows of tasks that answer about every pixel: pictures of truth and answer, and all pixels together."""

import colorsys
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from motet.core.seed import generator
from motet.evaluation.interval import Floats
from motet.media import data_uri
from motet.tasks import Codec, DepthCodec, SegmentationCodec

PIXELS = (DepthCodec, SegmentationCodec)
GAP = 4


@dataclass(frozen=True, slots=True)
class Pixels:
    """Of N rows `badness`, and of their labelled pixels, one behind the other, `truth` and `answer`.

    `names` are those of the classes; None where truth and answer are no classes.
    """

    badness: Floats
    truth: np.ndarray
    answer: np.ndarray
    names: Sequence[str] | None


def pixels_of(codec: Codec, output: Tensor, target: Tensor) -> Pixels:
    """What outputs `[N, H, W]` and targets have to show; a row is bad by its wrong pixels, or its mean error in logs.

    A pixel that was not answered, or whose class no training row has, is in no picture of all.
    """
    said, true = (one.detach().cpu().numpy() for one in (output, target))
    if isinstance(codec, SegmentationCodec):
        labelled = true != -1
        badness = ((said != true) & labelled).sum(axis=(1, 2)) / np.maximum(labelled.sum(axis=(1, 2)), 1)
        both = (true >= 0) & (said >= 0)
        return Pixels(badness, true[both].astype(np.int64), said[both].astype(np.int64), codec.names)
    both = (true > 0) & (said > 0)
    errors = np.where(both, np.abs(np.log(np.where(both, said, 1)) - np.log(np.where(both, true, 1))), 0)
    badness = np.where((true > 0).any(axis=(1, 2)), errors.sum(axis=(1, 2)) / np.maximum(both.sum(axis=(1, 2)), 1), 0)
    return Pixels(badness.astype(np.float64), true[both], said[both], None)


def some_of(pixels: Pixels, most: int, *, seed: int) -> tuple[list[float], list[float]]:
    """Truth and answer of at most so many pixels, drawn from all."""
    chosen = np.sort(generator(seed, "pixels").choice(len(pixels.truth), min(most, len(pixels.truth)), replace=False))
    return pixels.truth[chosen].tolist(), pixels.answer[chosen].tolist()


def painted(codec: Codec, output: Tensor, target: Tensor) -> str:
    """Answer and truth of one row, `[H, W]` each, side by side as one picture, a data URI.

    Classes have a colour each, and no class is black. Depth is the darker the farther, by its log between the nearest
    and the farthest pixel of the truth; what is not known is black.
    """
    from PIL import Image

    said, true = (one.detach().cpu().numpy() for one in (output, target))
    if isinstance(codec, SegmentationCodec):
        colours = _colours(len(codec.names))
        left, right = colours[said.clip(min=-1)], colours[true.clip(min=-1)]
    else:
        left, right = _greys(said, true), _greys(true, true)
    gap = np.full((len(left), GAP, *left.shape[2:]), 255, dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(np.concatenate([left, gap, right], axis=1)).save(out, format="PNG")
    return data_uri(out.getvalue())


def _colours(num_classes: int) -> np.ndarray:
    """A colour for each class, neighbours far apart in hue, and black at the end: what is no class has number -1."""
    golden = (5**0.5 - 1) / 2
    shades = [colorsys.hsv_to_rgb(place * golden % 1, 0.75, 0.95 - 0.3 * (place % 2)) for place in range(num_classes)]
    return np.asarray(np.rint(255 * np.array([*shades, (0.0, 0.0, 0.0)])), dtype=np.uint8)


def _greys(depth: np.ndarray, beside: np.ndarray) -> np.ndarray:
    known = beside[beside > 0]
    near, far = (known.min(), known.max()) if len(known) else (1.0, 1.0)
    with np.errstate(divide="ignore"):
        part = np.log(np.where(depth > 0, depth, far) / near) / max(np.log(far / near), 1e-9)
    return np.asarray(np.rint(np.where(depth > 0, 255 - 225 * part.clip(0, 1), 0)), dtype=np.uint8)
