"""How well scores put the rows of each group in order, in numpy over all groups at once. N rows, G groups."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from motet.tasks.base import Metric
from motet.tasks.metrics import Floats, metric_of_counts, ratio_of


def ndcg(score: Floats, relevance: Floats, group: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The normalised discounted cumulative gain of each group, NaN where any order is the best, and a row of each.

    `DCG = sum_i (2^{r_i} - 1) / log2(1 + place of i)`, divided by that of the best order; rows of equal score share the
    mean of their places' discounts (Järvelin and Kekäläinen, TOIS 2002; the gain is that of Burges et al., ICML 2005;
    ties as in McSherry and Najork, ECIR 2008). The row of each group is its first.

    >>> values, rows = ndcg(np.array([2.0, 1.0, 0.0]), np.array([0.0, 1.0, 0.0]), np.array([5.0, 5.0, 5.0]))
    >>> values.round(4).tolist(), rows.tolist()
    ([0.6309], [0])
    """
    _, first, number = np.unique(group, return_index=True, return_inverse=True)
    gain = np.exp2(relevance) - 1
    found, best = _gained(score, gain, number.reshape(-1)), _gained(gain, gain, number.reshape(-1))
    values, worst = np.full(len(first), np.nan), _gained(-gain, gain, number.reshape(-1))
    np.divide(found, best, out=values, where=best > worst)
    return values, first


def ndcg_metric() -> Metric:
    """The mean over groups whose rows are not all equally relevant; a group counts where its first row is drawn."""
    return replace(metric_of_counts("ndcg", _counts, ratio_of), by_group=True)


def _gained(score: Floats, gain: Floats, number: NDArray[np.int64]) -> Floats:
    """The discounted gain of each group, in the order of the scores."""
    order = np.lexsort((-score, number))
    score, gain, number = score[order], gain[order], number[order]
    start = np.append(True, number[1:] != number[:-1])
    group = np.cumsum(start) - 1
    place = np.arange(len(number)) - np.flatnonzero(start)[group]
    tie = np.cumsum(start | np.append(True, score[1:] != score[:-1])) - 1
    discount = np.bincount(tie, 1 / np.log2(place + 2)) / np.bincount(tie)
    return np.bincount(group, gain * discount[tie]).astype(np.float64)


def _counts(output: Tensor, target: Tensor) -> Floats:
    """In the first row of each group in which the order matters its score and 1; else 0."""
    score, truth = output.detach().double().cpu().numpy(), target.detach().double().cpu().numpy()
    counts = np.zeros((len(score), 2))
    if len(score) == 0 or not np.isfinite(score).all():
        return counts
    values, first = ndcg(score, truth[:, 0], truth[:, 1])
    there = ~np.isnan(values)
    counts[first[there]] = np.stack([values[there], np.ones(there.sum())], axis=-1)
    return counts
