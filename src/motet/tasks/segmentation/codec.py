"""Masks as numbers of classes and back, and how far masks agree.

Shapes: N rows, H, W of the prepared picture, C classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int16
from torch import Tensor

from motet.core.errors import CellError
from motet.media import plane, plane_png, stretched
from motet.tasks.base import Metric
from motet.tasks.dense import DenseCodec
from motet.tasks.imbalance import weights_at
from motet.tasks.labels import Label
from motet.tasks.metrics import metric_of_counts
from motet.tasks.segmentation.overlap import class_counts, mean_iou, pixel_accuracy

NOTHING, UNKNOWN = -1, -2
"""A pixel without a label, or without an answer; one of a class that no training row has."""


class SegmentationCodec(DenseCodec):
    """Target and output: the number of each pixel's class, int16 `[B, H, W]`; -1 where there is none.

    `values` are what stands for the classes in a mask, in ascending order, `names` what they are called; `closed`:
    there are no other classes, so that any other value is a mistake. `weights` are those of the classes.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]
    ignore: tuple[int, ...]
    closed: bool
    weights: tuple[float, ...] | None = None

    @property
    def known(self) -> tuple[Label, ...]:
        """The classes."""
        return self.names

    def read(self, cell: object) -> Int16[np.ndarray, "H W"]:
        """The classes of the pixels at the size of the picture; each pixel takes its nearest one of the mask."""
        found = classes_of(plane(cell))
        place = np.minimum(np.searchsorted(self.values, found), len(self.values) - 1)
        known = np.asarray(self.values)[place] == found
        nothing = np.isin(found, self.ignore)
        if self.closed and not (known | nothing).all():
            stranger = int(found[~(known | nothing)][0])
            raise CellError(
                f"a pixel of class {stranger}, which is not one of the {len(self.values)} `classes`, nor in `ignore`"
            )
        number = np.where(nothing, NOTHING, np.where(known, place, UNKNOWN))
        return stretched(number, self.framing.size).astype(np.int16)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": int16 [n, H, W]}`, and `"weight"`, float32 `[n, H, W]`, where classes weigh differently."""
        target = super().batch(items)
        return target if self.weights is None else target | {"weight": weights_at(self.weights, np.stack(items))}

    def knows(self, cell: object) -> bool:
        """Whether the training rows had every class of the mask."""
        return not bool((self.read(cell) == UNKNOWN).any())

    def decode(self, output: Int16[Tensor, "N H W"]) -> dict[str, list[Any]]:
        """The mask as a PNG whose pixels are values as in the labels; the classes it has, largest first, with their
        shares of the pixels. A pixel without a class gets a number of `ignore`.
        """
        values = np.array([*self.values, self._void])
        columns: dict[str, list[Any]] = {"": [], "classes": [], "shares": []}
        for row in output.detach().cpu().numpy():
            counts = np.bincount(row[row >= 0], minlength=len(self.values))
            there = [one for one in np.argsort(-counts, kind="stable").tolist() if counts[one]]
            columns[""].append(plane_png(values[row]) if there else None)
            columns["classes"].append([self.names[one] for one in there] or None)
            columns["shares"].append((counts[there] / row.size).tolist() or None)
        return columns

    @property
    def _void(self) -> int:
        """What a PNG shows of a pixel without a class."""
        numbers = [one for one in self.ignore if 0 <= one <= 65535]
        void: int = next(one for one in [*numbers, *range(255, 65536)] if one not in self.values)
        return void

    def stretched(self, answer: bytes, size: tuple[int, int]) -> bytes:
        """The mask at another size; each pixel takes its nearest one."""
        return plane_png(stretched(plane(answer), size))

    def metrics(self) -> tuple[Metric, ...]:
        """Over all labelled pixels of all rows, at the size of the input, miou and pixel_accuracy; a pixel without an
        answer is a miss.
        """

        def counts(output: Tensor, target: Tensor) -> np.ndarray:
            return class_counts(output.detach().cpu().numpy(), target.cpu().numpy(), num_classes=len(self.values))

        return (
            metric_of_counts("miou", counts, mean_iou),
            metric_of_counts("pixel_accuracy", counts, pixel_accuracy),
        )

    def prior(self, target: Int16[Tensor, "N H W"]) -> Float[Tensor, "C"]:
        """The log frequency of each class among the pixels, half a pixel added to each so that it is finite."""
        counts = torch.bincount(target[target >= 0].long(), minlength=len(self.values)) + 0.5
        return torch.log(counts / counts.sum())

    def trivial(self, prior: Float[Tensor, "C"], target: Int16[Tensor, "N H W"]) -> Int16[Tensor, "N H W"]:
        """The most frequent class, everywhere."""
        return torch.full_like(target, int(prior.argmax()))

    def certain(self, target: Int16[Tensor, "N H W"]) -> Int16[Tensor, "N H W"]:
        """The classes themselves."""
        return target.clamp(min=NOTHING)


def classes_of(numbers: np.ndarray) -> np.ndarray:
    """A plane as whole numbers; `CellError` where one is not.

    >>> classes_of(np.array([[0.0, 3.0]])).tolist()
    [[0, 3]]
    """
    if numbers.dtype.kind == "f":
        if not np.isfinite(numbers).all() or (numbers != np.rint(numbers)).any():
            raise CellError("a pixel is not a whole number; a segmentation task reads class numbers")
        return numbers.astype(np.int64)
    return numbers
