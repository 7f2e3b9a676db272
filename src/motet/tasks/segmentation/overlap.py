"""How far masks of classes agree, from counts of pixels that add up over rows. N rows, C classes."""

import numpy as np
from jaxtyping import Int64


def class_counts(answer: np.ndarray, truth: np.ndarray, *, num_classes: int) -> Int64[np.ndarray, "N S"]:
    """For each row, of its labelled pixels: how many of each class are hits, how many truly are of it, how many are
    answered by it.

    `answer` and `truth` are `[N, H, W]`; -1 is no label and no answer, -2 a true class that no answer can name: the
    last of the C + 1 classes that are counted.

    >>> class_counts(np.array([[[0, 1, 1]]]), np.array([[[0, 0, 1]]]), num_classes=2).reshape(3, 3).tolist()
    [[1, 1, 0], [2, 1, 0], [1, 2, 0]]
    """
    found = []
    for said, true in zip(answer, truth, strict=True):
        labelled = true != -1
        said, true = said[labelled], true[labelled]
        true = np.where(true < 0, num_classes, true)
        parts = (true[said == true], true, said[said >= 0])
        found.append(np.concatenate([np.bincount(part, minlength=num_classes + 1) for part in parts]))
    return np.array(found, dtype=np.int64).reshape(len(found), 3 * (num_classes + 1))


def mean_iou(counts: np.ndarray) -> float:
    """The mean over classes of hits / (truth + answers - hits): intersection over union, over all pixels of all rows.

    Classes that are neither true nor answered anywhere are left out; NaN without a labelled pixel.

    >>> mean_iou(np.array([1, 1, 0, 2, 1, 0, 1, 2, 0]))
    0.5
    """
    hits, truth, answers = counts.reshape(3, -1).astype(np.float64)
    union = truth + answers - hits
    return float((hits[union > 0] / union[union > 0]).mean()) if truth.any() else float("nan")


def pixel_accuracy(counts: np.ndarray) -> float:
    """The share of all labelled pixels that are hits; NaN without one."""
    hits, truth, _ = counts.reshape(3, -1)
    return float(hits.sum() / truth.sum()) if truth.any() else float("nan")
