"""How good the answers are if only the surest rows are answered."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from motet.evaluation.rowwise import RowScores, confidence, row_scores
from motet.evaluation.sampling import Sampling
from motet.tasks import Codec

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
LEAST_ROWS = 10


@dataclass(frozen=True, slots=True)
class Answered:
    """The `metric` on the surest rows, where the share `kept` is answered and the rest is left to somebody else."""

    kept: float
    metric: str
    value: float
    low: float
    high: float
    rows: int


def abstention(codec: Codec, output: Tensor, target: Tensor, *, sampling: Sampling) -> tuple[Answered, ...]:
    """By falling share, of N labelled rows; empty where all answers are as sure as each other, or nothing tells.

    The curve of risk and coverage (El-Yaniv & Wiener, JMLR 2010; Geifman & El-Yaniv, NeurIPS 2017). Rows are put in
    order by `confidence`, those that are as sure by their place; the metric is that of `row_scores`. Shares of fewer
    than 10 rows are left out. Bounds are about the rows that are kept, as if what is sure had been known before.
    """
    scores, sure = row_scores(codec, output, target), confidence(codec, output)
    if scores is None or sure is None or sure.min() == sure.max():
        return ()
    order = np.argsort(-sure, kind="stable")
    counts = [(share, round(share * len(order))) for share in SHARES]
    return tuple(_answered(scores, order[:count], share, sampling) for share, count in counts if count >= LEAST_ROWS)


def _answered(scores: RowScores, rows: np.ndarray, share: float, sampling: Sampling) -> Answered:
    rows = np.sort(rows)
    judge = RowScores(scores.metric, scores.values[rows], scores.higher_is_better).judge
    found = sampling.among(rows).of(judge, len(rows))
    return Answered(share, scores.metric, found.value, found.low, found.high, len(rows))
