"""The scores themselves, in numpy over all rows at once: N rows, C classes or labels.

They agree with torchmetrics and scikit-learn wherever those are defined, which the tests check; they are written out
here because a bootstrap calls them hundreds of times, and because both libraries answer 0, with a warning, where a
score does not exist. Here such a score is NaN: no rows, one class alone, a constant target, an output that is not
finite. Averages over classes are over those for which the score exists.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from motet.tasks.base import Metric

Floats = NDArray[np.float64]
Score = Callable[[Floats, np.ndarray], float]


def metric(name: str, compute: Score, *, higher_is_better: bool = True) -> Metric:
    """A metric on tensors from a score on arrays; NaN without rows and where an output is not finite."""

    def over_rows(output: Tensor, target: Tensor) -> float:
        values = output.detach().double().cpu().numpy()
        if len(values) == 0 or not np.isfinite(values).all():
            return float("nan")
        return float(compute(values, target.detach().cpu().numpy()))

    return Metric(name, higher_is_better, over_rows)


def metric_of_counts(
    name: str,
    counts: Callable[[Tensor, Tensor], np.ndarray],
    of_counts: Callable[[np.ndarray], float],
    *,
    higher_is_better: bool = True,
    perfect: float | None = None,
) -> Metric:
    """A metric that is a function of the sum over rows of `counts(output, target) [N, S]`; NaN without rows."""

    def over_rows(output: Tensor, target: Tensor) -> float:
        return of_counts(counts(output, target).sum(axis=0)) if len(target) else float("nan")

    return Metric(name, higher_is_better, over_rows, perfect=perfect, counts=counts, of_counts=of_counts)


def ratio_of(counts: np.ndarray) -> float:
    """The first count over the second; NaN where there is none, or the first is not finite.

    >>> ratio_of(np.array([3, 4]))
    0.75
    """
    return float(counts[0] / counts[1]) if counts[1] > 0 and np.isfinite(counts[0]) else float("nan")


def auroc(score: Floats, positive: NDArray[np.bool_]) -> float:
    """P(a positive row scores above a negative one), a tie counting one half.

    >>> auroc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, True, False, True]))
    0.875
    """
    above, below = score[positive], np.sort(score[~positive])
    if len(above) == 0 or len(below) == 0:
        return float("nan")
    wins = np.searchsorted(below, above, side="left") + np.searchsorted(below, above, side="right")
    return float(wins.mean() / (2 * len(below)))


def auroc_of_draws(score: Floats, positive: NDArray[np.bool_]) -> Callable[[np.ndarray], float]:
    """A function from numbers of rows, repeated ones included, to their AUROC; the scores are sorted once for all.

    >>> of = auroc_of_draws(np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, True, False, True]))
    >>> of(np.arange(4)), of(np.array([0, 1, 1, 3, 3]))
    (0.875, 1.0)
    """
    distinct, place = np.unique(score, return_inverse=True)
    place = place.reshape(-1)

    def of(rows: np.ndarray) -> float:
        above = positive[rows]
        wins, losses = (np.bincount(place[rows[one]], minlength=len(distinct)) for one in (above, ~above))
        pairs = int(wins.sum()) * int(losses.sum())
        beaten = (wins * (np.cumsum(losses) - losses / 2)).sum()
        return float(beaten / pairs) if pairs else float("nan")

    return of


def average_precision(score: Floats, positive: NDArray[np.bool_]) -> float:
    """sum_t (R_t - R_{t-1}) P_t over the distinct scores t from high to low.

    >>> round(average_precision(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])), 4)
    0.8333
    """
    if not positive.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def calibration_error(confidence: Floats, correct: NDArray[np.bool_], *, bins: int = 15) -> float:
    """Expected calibration error: the mean over rows of |accuracy - confidence| of the row's bin, bins of equal width.

    >>> calibration_error(np.array([0.9, 0.9]), np.array([True, False]))
    0.4
    """
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.bincount(place, correct.astype(np.float64) - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def f1_scores(answer: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Floats:
    """F1 of each column of `[N, C]`: 2 TP / (2 TP + FP + FN); NaN for a class neither true nor answered anywhere."""
    hits, either = (answer & truth).sum(0), answer.sum(0) + truth.sum(0)
    scores = np.full(len(either), np.nan)
    np.divide(2.0 * hits, either, out=scores, where=either > 0)
    return scores


def mean_that_exists(values: Floats) -> float:
    """The mean without NaN; NaN where nothing is left."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def r2(value: Floats, truth: Floats) -> float:
    """1 - sum (y - f)^2 / sum (y - mean y)^2; NaN where all y are the same."""
    if (truth == truth[:1]).all():
        return float("nan")
    value, truth = value.astype(np.float64), truth.astype(np.float64)
    return float(1 - ((truth - value) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())


def mean_absolute_error(value: Floats, truth: Floats) -> float:
    """The mean of |y - f|."""
    return float(np.abs(truth - value).mean())


def root_mean_squared_error(value: Floats, truth: Floats) -> float:
    """The root of the mean of (y - f)^2."""
    return float(np.sqrt(((truth - value) ** 2).mean()))


def spearman(value: Floats, truth: Floats) -> float:
    """The correlation of the ranks, ties sharing their mean rank."""
    first, second = _centred_ranks(value), _centred_ranks(truth)
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / scale) if scale > 0 else float("nan")


def _centred_ranks(values: Floats) -> Floats:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[place.reshape(-1)]
    return ranks - (len(values) + 1) / 2
