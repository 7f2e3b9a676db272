"""Boxes and their labels: a cell -> a target, an output -> boxes in the picture.

N rows, K places for boxes. Inside, a box is x0, y0, x1, y1 as fractions of the picture's width and height.
"""

import json
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet import media
from motet.core.checks import text_of
from motet.core.errors import CellError
from motet.tasks.base import Metric
from motet.tasks.detection.precision import mean_average_precision, precision_of_rows
from motet.tasks.labels import Label, label_of
from motet.tasks.part import SizedCodec

NOTHING, UNKNOWN, ABSENT = 0, -1, -2
"""In the last column of a target or an output, where class c is c + 1: no box, a class that no training row has, and
(in the first place of an output) no picture to look at."""
LEAST_SEEN = 0.25
"""A box of which less is left after a shift is not there any more."""


class DetectionCodec(SizedCodec):
    """Target `[N, K, 5]`: a box and its class + 1; output `[N, K, 6]`: a box, its score, and its class + 1.

    A cell is a list of `{"label": ..., "box": [x0, y0, x1, y1]}`, or that as JSON; an empty list is a picture without
    anything to be found. Boxes of the cell and of the answer are in `unit`: pixels of the file, or fractions of it.
    """

    classes: tuple[Label, ...] = Field(min_length=1)
    unit: Literal["pixels", "fractions"]
    framing: media.Framing

    @property
    def varies(self) -> bool:
        """Whether pictures are shifted or mirrored in training; boxes go along."""
        return self.framing.varies

    @property
    def known(self) -> tuple[Label, ...]:
        """The classes."""
        return self.classes

    @cached_property
    def _number(self) -> dict[str, int]:
        return {text_of(label): number for number, label in enumerate(self.classes)}

    def knows(self, cell: object) -> bool:
        """Whether every label is one of the classes."""
        return bool((self.read(cell)[:, 4] != UNKNOWN).all())

    def read(self, cell: object) -> Float[np.ndarray, "n 5"]:
        """The boxes of a pair of cells, the labels and the picture; `CellError` for one without area or outside."""
        found, picture = cell if isinstance(cell, tuple) and len(cell) == 2 else (cell, None)
        width, height = 1, 1
        if self.unit == "pixels":
            if picture is None:
                raise CellError("boxes in pixels need the picture they are in")
            height, width = media.image_size(picture)[:2]
        objects = objects_of(found)
        scale = np.array([width, height, width, height], dtype=np.float64)
        boxes = [[*(box_of(one) / scale), self._class(one)] for one in objects]
        item = np.array(boxes, dtype=np.float32).reshape(len(boxes), 5)
        if (item[:, :4] < -1e-3).any() or (item[:, :4] > 1 + 1e-3).any():
            where = f"of {width} x {height} pixels" if self.unit == "pixels" else "from 0 to 1"
            raise CellError(f"a box leads out of the picture {where}")
        item[:, :4] = item[:, :4].clip(0, 1)
        return item

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The variation of the picture: the same draws.

        What is shifted out of the picture is cut off; a box of which less than a quarter is left is gone.
        """
        moved = item.copy()
        moved[:, :4] = self.framing.draw(generator).of_boxes(item[:, :4], self.framing.size)
        before = areas(moved)
        moved[:, :4] = moved[:, :4].clip(0, 1)
        return moved[areas(moved) >= LEAST_SEEN * before]

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": float32 [n, K, 5]}`, zeros behind a row's boxes."""
        target = np.zeros((len(items), max(1, *(len(item) for item in items)), 5), dtype=np.float32)
        for row, item in zip(target, items, strict=True):
            row[: len(item)] = item
        return {"target": torch.from_numpy(target)}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        """A list of `{"label", "score", "box"}` per row, the surest first, boxes as fractions; None: no picture."""
        return {"": [self._decoded(row) for row in output.detach().double().cpu().tolist()]}

    def at_size(self, columns: dict[str, list[Any]], sizes: Sequence[tuple[int, int] | None]) -> dict[str, list[Any]]:
        """Boxes in pixels, where that is the unit."""
        if self.unit == "fractions":
            return columns
        return {"": [_in_pixels(found, size) for found, size in zip(columns[""], sizes, strict=True)]}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """Itself."""
        return self

    def metrics(self) -> tuple[Metric, ...]:
        """map: COCO's average precision, the mean over classes and over overlaps from .5 to .95."""
        return (Metric("map", True, mean_average_precision, among=precision_of_rows),)

    def prior(self, target: Tensor) -> Tensor:
        """How many boxes of each class `[C]` a picture has."""
        number = target[:, :, 4].long()
        return torch.stack([(number == c + 1).sum() / len(target) for c in range(len(self.classes))]).float()

    def trivial(self, prior: Tensor, target: Tensor) -> Tensor:
        """No box at all: without a picture there is no telling where one is."""
        return torch.zeros(target.shape[0], 1, 6)

    def certain(self, target: Tensor) -> Tensor:
        """The boxes, each with score 1."""
        score = (target[:, :, 4:] != NOTHING).float()
        return torch.cat([target[:, :, :4], score, target[:, :, 4:]], dim=2)

    def _class(self, one: dict[str, Any]) -> int:
        number = self._number.get(text_of(label_of(one["label"])))
        return UNKNOWN if number is None else number + 1

    def _decoded(self, row: list[list[float]]) -> list[dict[str, Any]] | None:
        if row[0][5] == ABSENT:
            return None
        return [
            {"label": self.classes[int(number) - 1], "score": score, "box": box}
            for *box, score, number in row
            if number > NOTHING
        ]


def objects_of(cell: object) -> list[dict[str, Any]]:
    """What a cell lists; `CellError` where it is not a list of labels with boxes.

    >>> objects_of('[{"label": "cup", "box": [0, 0, 5, 8]}]')
    [{'label': 'cup', 'box': [0, 0, 5, 8]}]
    """
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except ValueError:
            raise CellError("not JSON; expected a list of objects with label and box") from None
    if not isinstance(cell, list | tuple | np.ndarray):
        raise CellError("expected a list of objects with label and box")
    for one in cell:
        if not isinstance(one, dict) or not {"label", "box"} <= one.keys():
            raise CellError(f"expected an object with label and box, found {str(one)[:60]}")
    return list(cell)


def box_of(one: dict[str, Any]) -> Float[np.ndarray, "4"]:
    """The corners of a box; `CellError` where they are not four numbers in order."""
    try:
        x0, y0, x1, y1 = (float(value) for value in one["box"])
    except (TypeError, ValueError):
        raise CellError(f"a box is four numbers, x0, y0, x1, y1; found {str(one['box'])[:60]}") from None
    if not all(map(math.isfinite, (x0, y0, x1, y1))) or x1 <= x0 or y1 <= y0:
        raise CellError(f"a box goes from x0, y0 to a larger x1, y1; found {[x0, y0, x1, y1]}")
    return np.array([x0, y0, x1, y1])


def areas(boxes: Float[np.ndarray, "n 5"]) -> Float[np.ndarray, "n"]:
    """Of each box."""
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _in_pixels(found: list[dict[str, Any]] | None, size: tuple[int, int] | None) -> list[dict[str, Any]] | None:
    if found is None or size is None:
        return found
    height, width = size
    scale = (width, height, width, height)
    return [one | {"box": [v * s for v, s in zip(one["box"], scale, strict=True)]} for one in found]
