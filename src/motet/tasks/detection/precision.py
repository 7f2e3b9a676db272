"""COCO's average precision: boxes matched by the COCO authors' own code, once, and then any rows of them scored.

N pictures, K places for boxes, T overlaps, D boxes that were said of a class.
"""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from motet.core.errors import SpecError

MOST = 100
"""Boxes of a picture that count, the surest first."""
SIDE = 1000.0
"""Of a picture in the units of the evaluation. Overlaps do not depend on it."""
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, slots=True)
class Matched:
    """One class in one picture: how many boxes it has, and of what was said the scores and which are right."""

    count: int
    scores: Float[np.ndarray, "D"]
    right: Bool[np.ndarray, "T D"]


def mean_average_precision(output: Float[Tensor, "N K 6"], target: Float[Tensor, "N J 5"]) -> float:
    """AP averaged over the classes of the truth and over the overlaps .50, .55, ..., .95 (Lin et al., ECCV 2014).

    A box is right if it overlaps one of its class that no surer box has taken; precision is interpolated at 101 levels
    of recall. Of what is said 100 boxes of a picture count. NaN where the truth has no box at all.

    >>> import torch
    >>> truth = torch.tensor([[[0.1, 0.1, 0.5, 0.5, 1.0]]])
    >>> mean_average_precision(torch.tensor([[[0.1, 0.1, 0.5, 0.5, 0.9, 1.0]]]), truth)
    1.0
    """
    return precision_of_rows(output, target)(np.arange(len(target)))


def precision_of_rows(output: Float[Tensor, "N K 6"], target: Float[Tensor, "N J 5"]) -> Callable[[np.ndarray], float]:
    """A function from numbers of pictures to their score; one that is given twice is two pictures."""
    classes = matched(output, target)

    def score(rows: np.ndarray) -> float:
        found = [_precision([of_class[row] for row in rows]) for of_class in classes]
        return float(np.mean(there)) if (there := [one for one in found if one is not None]) else float("nan")

    return score


def matched(output: Float[Tensor, "N K 6"], target: Float[Tensor, "N J 5"]) -> list[list[Matched]]:
    """For each class of the truth and each picture what pycocotools matches; of a class at most 100 boxes a picture."""
    said, true = output.detach().double().cpu().numpy(), target.detach().double().cpu().numpy()
    there = np.argwhere(true[:, :, 4] != 0)
    numbers = sorted({int(true[row, place, 4]) for row, place in there})
    if not numbers:
        return []
    coco, coco_eval = _coco()
    truth, answers = coco(), coco()
    truth.dataset = _dataset(true, there, numbers)
    answers.dataset = _dataset(said, np.argwhere(said[:, :, 5] > 0), numbers)
    with contextlib.redirect_stdout(io.StringIO()):  # it talks
        truth.createIndex()
        answers.createIndex()
        evaluation = coco_eval(truth, answers, "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [MOST]
        evaluation.evaluate()
    found = iter(evaluation.evalImgs)
    return [[_matched(next(found), len(evaluation.params.iouThrs)) for _ in range(len(true))] for _ in numbers]


def check_available() -> None:
    """Raise `SpecError` where the COCO code is not installed."""
    _coco()


def _precision(pictures: list[Matched]) -> float | None:
    """The mean over overlaps of one class; None where these pictures have none of it."""
    count = sum(one.count for one in pictures)
    if not count:
        return None
    order = np.argsort(-np.concatenate([one.scores for one in pictures]), kind="mergesort")
    right = np.concatenate([one.right for one in pictures], axis=1)[:, order]
    hits = np.cumsum(right, axis=1)
    recall, precision = hits / count, hits / np.arange(1, right.shape[1] + 1)
    highest = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    scores = np.zeros((len(right), len(RECALLS)))
    for at, reached, best in zip(scores, recall, highest, strict=True):
        place = np.searchsorted(reached, RECALLS)
        at[place < len(best)] = best[place[place < len(best)]]
    return float(scores.mean())


def _matched(found: Any, overlaps: int) -> Matched:
    """What pycocotools says of one class in one picture; None where it has neither truth nor answer."""
    if found is None:
        return Matched(0, np.zeros(0), np.zeros((overlaps, 0), dtype=bool))
    return Matched(len(found["gtIds"]), np.asarray(found["dtScores"]), np.asarray(found["dtMatches"]) > 0)


def _dataset(boxes: np.ndarray, places: np.ndarray, numbers: list[int]) -> dict[str, Any]:
    """In the form of a COCO file; a target has no score in column 4 but its class."""
    with_score = boxes.shape[2] == 6
    annotations = []
    for index, (row, place) in enumerate(places.tolist()):
        *corners, last = (boxes[row, place, [0, 1, 2, 3, -1]]).tolist()
        x0, y0, x1, y1 = (SIDE * value for value in corners)
        annotations.append(
            {
                "id": index + 1,
                "image_id": row,
                "category_id": int(last),
                "iscrowd": 0,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "score": float(boxes[row, place, 4]) if with_score else 0.0,
            }
        )
    return {
        "images": [{"id": row} for row in range(len(boxes))],
        "categories": [{"id": number} for number in numbers],
        "annotations": annotations,
    }


def _coco() -> tuple[type, type]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise SpecError(
            "detection is scored by pycocotools, which is not here: pip install 'motet[detection]'"
        ) from None
    return COCO, COCOeval
