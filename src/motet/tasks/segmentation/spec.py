"""A class for every pixel of a picture.

Shapes: B rows, H, W of the prepared picture, C classes.
"""

from collections import Counter
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
from motet.tasks.base import Codec
from motet.tasks.dense import DenseHead, DenseTask, planes
from motet.tasks.framed import framing_of
from motet.tasks.imbalance import ClassWeights, weights_of
from motet.tasks.losses import labelled_loss
from motet.tasks.part import Source
from motet.tasks.segmentation.codec import NOTHING, SegmentationCodec, classes_of

MOST_CLASSES = 1000


class Segmentation(DenseTask):
    """Say of every pixel of a picture which class it belongs to.

    A label is a mask: a PNG or `.npy` file whose pixels are class numbers, for a picture with a palette those of the
    colours, of any size; it is stretched over the picture. With logits z_pc of pixel p for class c the loss of a row is
    the mean of -w_{y_p} log softmax(z_p)_{y_p} over its labelled pixels, w the weights of the classes.

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
    class_weights: ClassWeights = None

    def fit(self, cells: Iterable[object], readers: Mapping[str, Reader]) -> SegmentationCodec:
        """The classes of all training masks, unless they are given; `DataError` where there are not two.

        Nothing more than one mask with a label is read where neither classes nor weights have to be found.
        """
        framing, counts = framing_of(self.reads[0], readers), self._counts(cells)
        if not counts:
            raise DataError(
                "no training row has a mask with a labelled pixel; name the right column, or leave the task out"
            )
        if self.classes is None:
            _check_classes(sorted(counts))
            called = {value: str(value) for value in sorted(counts)}
        else:
            called = {value: name for value, name in enumerate(self.classes) if value not in self.ignore}
        return SegmentationCodec(
            framing=framing,
            values=tuple(called),
            names=tuple(called.values()),
            ignore=self.ignore,
            closed=self.classes is not None,
            weights=weights_of(self.class_weights, {name: counts[value] for value, name in called.items()}),
        )

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
        """The mean weighted cross-entropy over the labelled pixels of each row; 0 in a row without one."""
        weight = target.values.get("weight")
        if weight is not None:  # replaced before the mathematics: filler may be anything
            weight = torch.where(target.present[:, None, None], weight, 0.0)
        labels = Cells({"target": target.values["target"]}, target.present)
        return labelled_loss(lambda logits, label: cross_entropy_of(logits, label, weight), output, labels)

    def _counts(self, cells: Iterable[object]) -> Counter[int]:
        """How many pixels of the training rows have each number that is not ignored."""
        enough = self.classes is not None and not isinstance(self.class_weights, str)
        counts: Counter[int] = Counter()
        for one in planes(cells):
            values, pixels = _values(one)
            found = dict(zip(values.tolist(), pixels.tolist(), strict=True))
            counts.update({value: count for value, count in found.items() if value not in self.ignore})
            if enough and counts:
                break
        return counts


def cross_entropy_of(
    logits: Float[Tensor, "B C H W"], label: Int16[Tensor, "B H W"], weight: Float[Tensor, "B H W"] | None
) -> Float[Tensor, "B"]:
    """The mean over the pixels with a label of `-w log softmax(z)_label`.

    >>> cross_entropy_of(torch.zeros(1, 2, 1, 2), torch.tensor([[[1, -1]]]), None)  # log 2
    tensor([0.6931])
    """
    labelled = label >= 0
    loss = F.cross_entropy(logits, label.clamp(min=0).long(), reduction="none")
    loss = torch.where(labelled, loss if weight is None else weight * loss, 0.0)
    return loss.sum(dim=(1, 2)) / labelled.sum(dim=(1, 2)).clamp(min=1)


def _values(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of a plane and how often each occurs; none where they are no classes."""
    try:
        return np.unique(classes_of(numbers), return_counts=True)
    except CellError:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)


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
