"""COCO's average precision, by the COCO authors' own code.

N pictures, K places for boxes.
"""

import contextlib
import io

import numpy as np
from jaxtyping import Float
from torch import Tensor

from motet.core.errors import SpecError

MOST = 100
"""Boxes of a picture that count, the surest first."""
SIDE = 1000.0
"""Of a picture in the units of the evaluation. Overlaps do not depend on it."""


def mean_average_precision(output: Float[Tensor, "N K 6"], target: Float[Tensor, "N J 5"]) -> float:
    """AP averaged over the classes of the truth and over the overlaps .50, .55, ..., .95 (Lin et al., ECCV 2014).

    A box is right if it overlaps one of its class that no surer box has taken; precision is interpolated at 101 levels
    of recall. Of what is said 100 boxes of a picture count. NaN where the truth has no box at all. Rows that are given
    twice are two pictures.

    >>> import torch
    >>> truth = torch.tensor([[[0.1, 0.1, 0.5, 0.5, 1.0]]])
    >>> mean_average_precision(torch.tensor([[[0.1, 0.1, 0.5, 0.5, 0.9, 1.0]]]), truth)
    1.0
    """
    coco, coco_eval = _coco()
    said, true = output.detach().double().cpu().numpy(), target.detach().double().cpu().numpy()
    there = true[:, :, 4] != 0
    if not there.any():
        return float("nan")
    truth = coco()
    truth.dataset = {
        "images": [{"id": row} for row in range(len(true))],
        "categories": [{"id": int(number)} for number in np.unique(true[there][:, 4])],
        "annotations": [
            {"id": index + 1, "image_id": int(row), "category_id": int(true[row, place, 4]), "iscrowd": 0}
            | _box(true[row, place])
            for index, (row, place) in enumerate(np.argwhere(there))
        ],
    }
    found = [
        {"image_id": int(row), "category_id": int(said[row, place, 5]), "score": said[row, place, 4]}
        | _box(said[row, place])
        for row, place in np.argwhere(said[:, :, 5] > 0)
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # it talks
        truth.createIndex()
        if not found:
            return 0.0
        evaluation = coco_eval(truth, truth.loadRes(found), "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [MOST]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"]  # overlap, recall, class, area, most
    counted = precision[precision > -1]
    return float(counted.mean()) if len(counted) else float("nan")


def check_available() -> None:
    """Raise `SpecError` where the COCO code is not installed."""
    _coco()


def _box(row: Float[np.ndarray, "*"]) -> dict[str, object]:
    x0, y0, x1, y1 = (SIDE * row[:4]).tolist()
    return {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}


def _coco() -> tuple[type, type]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise SpecError(
            "detection is scored by pycocotools, which is not installed: pip install 'motet[detection]'"
        ) from None
    return COCO, COCOeval
