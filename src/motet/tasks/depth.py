"""A positive number for every pixel of a picture: depth, and what else is judged by ratios.

Shapes: B or N rows, H, W of the prepared picture.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Float, Float32
from pydantic import Field
from torch import Tensor

from motet.core.errors import DataError
from motet.core.flow import Cells, Reader
from motet.media import plane, plane_npy, stretched
from motet.tasks.base import Codec, Metric
from motet.tasks.dense import DenseCodec, DenseHead, DenseTask, planes
from motet.tasks.framed import framing_of
from motet.tasks.losses import labelled_loss
from motet.tasks.metrics import metric_of_counts
from motet.tasks.part import Source

CLOSE = 1.25
"""A pixel is hit where truth and answer differ by less than this factor."""


class DepthCodec(DenseCodec):
    """Target and output: the depth of each pixel in the user's units, float32 `[B, H, W]`; 0 where it is not known.

    Whole numbers of a label, as a PNG holds them, are multiplied by `scale`; others are in units.
    """

    scale: float = Field(gt=0)

    def read(self, cell: object) -> Float32[np.ndarray, "H W"]:
        """The depth of the pixels at the size of the picture; each takes its nearest one, so that none is made up."""
        return stretched(depth_of(plane(cell), scale=self.scale), self.framing.size)

    def decode(self, output: Float[Tensor, "N H W"]) -> dict[str, list[Any]]:
        """The bytes of a `.npy` file, which nothing is lost in: float32 `[H, W]`, in units; 0 is not known."""
        return {"": [plane_npy(row) if row.any() else None for row in output.detach().float().cpu().numpy()]}

    def stretched(self, answer: bytes, size: tuple[int, int]) -> bytes:
        """The depth at another size, in straight lines between the middles of its pixels."""
        from PIL import Image

        return plane_npy(np.array(Image.fromarray(plane(answer)).resize(size[::-1], Image.Resampling.BILINEAR)))

    def metrics(self) -> tuple[Metric, ...]:
        """Of all pixels of all rows whose depth is known, at the size of the input, delta1 and, in units, rmse; one
        without an answer is at 0.
        """
        return (
            _metric("delta1", _hits, higher_is_better=True),
            _metric("rmse", _squared_errors, higher_is_better=False, of_mean=math.sqrt),
        )

    def prior(self, target: Float[Tensor, "N H W"]) -> Float[Tensor, ""]:
        """The mean log of what is known; 0 where nothing is."""
        known = target[target > 0].double()
        return known.log().mean().float() if len(known) else torch.zeros(())

    def trivial(self, prior: Float[Tensor, ""], target: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
        """The geometric mean, everywhere."""
        return prior.exp().expand_as(target)

    def certain(self, target: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
        """The depth itself."""
        return target


class Depth(DenseTask):
    """Say of every pixel of a picture how far away it is.

    A label is a `.npy` file or a PNG of 16 bits, of any size; it is stretched over the picture. Pixels that are 0,
    negative or not finite are not known: they neither teach nor count. With d_p = log f_p - log y_p over the n known
    pixels of a row its loss is the scale-invariant error of Eigen et al. (NeurIPS 2014),

        1/n sum_p d_p^2 - lambda / n^2 (sum_p d_p)^2        lambda = `invariance`

    which at lambda = 1 does not see whether the whole row is too near or too far. Deviations from the paper: a U-Net in
    place of their two stacks of scales. Only positive numbers are answered, and errors are ratios: a map of numbers
    that can be 0 or negative (flow, normals, temperature in degrees) is no depth, and there is no kind for it.

    >>> from types import SimpleNamespace
    >>> from motet.media import Framing
    >>> picture = SimpleNamespace(framing=Framing(size=(1, 2), crop=0.0, flip=False))
    >>> codec = Depth(of="photo", scale=0.001).fit([np.array([[1500, 0]])], {"photo": picture})
    >>> codec.read(np.array([[1500, 0]])).tolist(), codec.read(np.array([[1.5, 2.5]])).tolist()
    ([[1.5, 0.0]], [[1.5, 2.5]])
    """

    paper: ClassVar[str] = "Eigen et al., Depth Map Prediction from a Single Image, NeurIPS 2014 (loss)"
    metric_names: ClassVar[tuple[str, ...]] = ("delta1", "rmse")

    kind: Literal["depth"] = "depth"
    scale: float = Field(
        default=1.0,
        gt=0,
        description="What 1 stands for where labels are whole numbers, e.g. 0.001 for millimetres in a PNG of 16 bits; "
        "numbers of a `.npy` array with a point are taken as they are.",
    )
    invariance: float = Field(
        default=0.5, ge=0, le=1, description="How much of a row's common error is forgiven: lambda of the loss."
    )

    def fit(self, cells: Iterable[object], readers: Mapping[str, Reader]) -> DepthCodec:
        """Only the framing is fitted; `DataError` where no training row has a pixel whose depth is known."""
        framing = framing_of(self.reads[0], readers)
        if not any((depth_of(one, scale=self.scale) > 0).any() for one in planes(cells)):
            raise DataError("no training row has a map with a positive number; name the right column, or leave it out")
        return DepthCodec(framing=framing, scale=self.scale)

    def restore(self, state: dict[str, Any]) -> DepthCodec:
        """The codec of a bundle."""
        return DepthCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """Itself: nothing is left to be found."""
        return self

    def build(self, codec: Codec, input_width: int, sources: Mapping[str, Source]) -> DenseHead:
        """A decoder of the maps to the log of the depth of each pixel."""
        assert isinstance(codec, DepthCodec)
        return self.head(input_width, sources, codec.framing, outputs=1, answered=_depth, nothing=0.0)

    def loss(self, output: Float[Tensor, "B 1 H W"], target: Cells) -> Float[Tensor, "B"]:
        """The scale-invariant error of each row over the pixels whose depth is known; 0 in a row without one."""
        return labelled_loss(self._error, output, target)

    def _error(self, output: Float[Tensor, "B 1 H W"], depth: Float[Tensor, "B H W"]) -> Float[Tensor, "B"]:
        known = depth > 0
        count = known.sum(dim=(1, 2)).clamp(min=1)
        apart = torch.where(known, output[:, 0] - torch.where(known, depth, 1.0).log(), 0.0)
        return apart.square().sum(dim=(1, 2)) / count - self.invariance * (apart.sum(dim=(1, 2)) / count).square()


def depth_of(numbers: np.ndarray, *, scale: float) -> Float32[np.ndarray, "H W"]:
    """A plane in units, 0 where a number is no depth; whole numbers are multiplied by `scale`.

    >>> depth_of(np.array([[2.5, np.nan, -1.0]]), scale=0.1).tolist()
    [[2.5, 0.0, 0.0]]
    """
    depth = numbers.astype(np.float64) * (1.0 if numbers.dtype.kind == "f" else scale)
    most = float(np.finfo(np.float32).max)
    return np.where((depth > 0) & (depth <= most), depth, 0.0).astype(np.float32)


def _depth(log: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B H W"]:
    return log[:, 0].exp()


def _metric(
    name: str,
    error: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    higher_is_better: bool,
    of_mean: Callable[[float], float] = float,
) -> Metric:
    """A function of the mean of `error(answer, truth)` over the known pixels of all rows; NaN without any."""

    def counts(output: Tensor, target: Tensor) -> np.ndarray:
        pairs = zip(*(one.detach().double().cpu().numpy() for one in (output, target)), strict=True)
        rows = [(error(said[true > 0], true[true > 0]).sum(), (true > 0).sum()) for said, true in pairs]
        return np.array(rows, dtype=np.float64).reshape(len(rows), 2)

    def of_counts(total: np.ndarray) -> float:
        return of_mean(float(total[0] / total[1])) if total[1] > 0 else math.nan

    return metric_of_counts(name, counts, of_counts, higher_is_better=higher_is_better)


def _hits(answer: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """max(y / f, f / y) < 1.25."""
    return np.asarray((answer < CLOSE * truth) & (truth < CLOSE * answer))


def _squared_errors(answer: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.asarray((answer - truth) ** 2)
