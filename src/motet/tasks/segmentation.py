"""A class for every pixel of a picture.

Shapes: B or N rows, H, W of the prepared picture, C classes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int16
from pydantic import Field
from torch import Tensor

from motet.core.errors import CellError, DataError
from motet.core.flow import Cells, Reader
from motet.media import plane, plane_png, stretched
from motet.tasks.base import Codec, Metric
from motet.tasks.dense import DenseCodec, DenseHead, DenseTask, planes
from motet.tasks.losses import labelled_loss
from motet.tasks.metrics import metric_of_counts
from motet.tasks.overlap import class_counts, mean_iou, pixel_accuracy
from motet.tasks.part import Source

NOTHING, UNKNOWN = -1, -2
"""A pixel without a label, or without an answer; one of a class that no training row has."""
MOST_CLASSES = 1000


class SegmentationCodec(DenseCodec):
    """Target and output: the number of each pixel's class, int16 `[B, H, W]`; -1 where there is none.

    `values` are what stands for the classes in a mask, in ascending order, `names` what they are called; `closed`:
    there are no other classes, so that any other value is a mistake.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]
    ignore: tuple[int, ...]
    closed: bool

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
        free = (one for one in (*self.ignore, 255, 65535) if 0 <= one <= 65535 and one not in self.values)
        return next(free)

    def stretched(self, answer: bytes, size: tuple[int, int]) -> bytes:
        """The mask at another size; each pixel takes its nearest one."""
        return plane_png(stretched(plane(answer), size))

    def metrics(self) -> tuple[Metric, ...]:
        """Over all labelled pixels of all rows, miou and pixel_accuracy; a pixel without an answer is a miss."""

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


class Segmentation(DenseTask):
    """Say of every pixel of a picture which class it belongs to.

    A label is a mask: a PNG or `.npy` file whose pixels are class numbers, for a picture with a palette those of the
    colours, of any size; it is stretched over the picture. With logits z_pc of pixel p for class c the loss of a row is
    the mean of -log softmax(z_p)_{y_p} over its labelled pixels.

    >>> from types import SimpleNamespace
    >>> from motet.media import Framing
    >>> picture = SimpleNamespace(framing=Framing(size=(1, 4), crop=0.0, flip=False))
    >>> codec = Segmentation(of="photo", classes=("sky", "road")).fit([[[0, 1]]], {"photo": picture})
    >>> codec.decode(torch.tensor([[[0, 1, 1, 1]]]))["classes"]
    [['road', 'sky']]
    """

    metric_names: ClassVar[tuple[str, ...]] = ("miou", "pixel_accuracy")

    kind: Literal["segmentation"] = "segmentation"
    classes: tuple[str, ...] | None = Field(
        default=None,
        min_length=2,
        description="What the classes 0, 1, ... are called; there are no others. null: those of the training rows.",
    )
    ignore: tuple[int, ...] = Field(
        default=(), description="Class numbers that are no label, e.g. [255]: such pixels neither teach nor count."
    )

    def fit(self, cells: Iterable[object], readers: Mapping[str, Reader]) -> SegmentationCodec:
        """The classes of all training masks, unless they are given; `DataError` where there are not two."""
        framing, ignored = self.framing_of(readers), set(self.ignore)
        found: set[int] = set()
        for one in planes(cells):
            found |= _values(one) - ignored
            if self.classes is not None and found:
                break
        if not found:
            raise DataError(
                "no training row has a mask with a labelled pixel; name the right column, or leave the task out"
            )
        if self.classes is not None:
            values = tuple(one for one in range(len(self.classes)) if one not in ignored)
            names = tuple(self.classes[one] for one in values)
            return SegmentationCodec(framing=framing, values=values, names=names, ignore=self.ignore, closed=True)
        values = tuple(sorted(found))
        _check_classes(values)
        names = tuple(map(str, values))
        return SegmentationCodec(framing=framing, values=values, names=names, ignore=self.ignore, closed=False)

    def restore(self, state: dict[str, Any]) -> SegmentationCodec:
        """The codec of a bundle."""
        return SegmentationCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """Itself: nothing is left to be found."""
        return self

    def build(self, codec: Codec, input_width: int, sources: Mapping[str, Source]) -> DenseHead:
        """A decoder of the maps to a logit for each class and pixel."""
        assert isinstance(codec, SegmentationCodec)
        return self.head(
            input_width, sources, codec.framing, outputs=len(codec.values), answered=_best, nothing=NOTHING
        )

    def loss(self, output: Float[Tensor, "B C H W"], target: Cells) -> Float[Tensor, "B"]:
        """The mean cross-entropy over the labelled pixels of each row; 0 in a row without one."""
        return labelled_loss(_cross_entropy, output, target)


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


def _values(numbers: np.ndarray) -> set[int]:
    try:
        return set(np.unique(classes_of(numbers)).tolist())
    except CellError:
        return set()


def _check_classes(values: Sequence[int]) -> None:
    if len(values) == 1:
        raise DataError(
            f"every labelled pixel of the training rows is of class {values[0]}: there is nothing to learn; add masks "
            "with other classes, or leave the task out"
        )
    if len(values) > MOST_CLASSES:
        raise DataError(f"{len(values)} different numbers in the masks: too many for classes; try kind depth")
    if values[0] < 0 or values[-1] > 65535:
        strange = values[0] if values[0] < 0 else values[-1]
        raise DataError(f"class numbers are from 0 to 65535, found {strange}; is it no label? then name it in `ignore`")


def _best(logits: Float[Tensor, "B C H W"]) -> Int16[Tensor, "B H W"]:
    return logits.argmax(dim=1).to(torch.int16)


def _cross_entropy(logits: Float[Tensor, "B C H W"], label: Int16[Tensor, "B H W"]) -> Float[Tensor, "B"]:
    labelled = label >= 0
    loss = F.cross_entropy(logits, label.clamp(min=0).long(), reduction="none")
    return torch.where(labelled, loss, 0.0).sum(dim=(1, 2)) / labelled.sum(dim=(1, 2)).clamp(min=1)
