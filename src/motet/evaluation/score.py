"""The metrics of one task, each with its interval, beside what a constant answer would have scored."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from motet.evaluation.interval import Groups, Resampling
from motet.tasks import Codec
from motet.tasks.classes import uncalibrated


@dataclass(frozen=True, slots=True)
class Score:
    """A metric over all scored rows and its bootstrap interval; NaN where the metric does not exist on these rows."""

    value: float
    low: float
    high: float
    higher_is_better: bool


def score(
    codec: Codec,
    output: Tensor,
    target: Tensor,
    *,
    groups: Groups = None,
    seed: int,
    resamples: int = 200,
    level: float = 0.95,
) -> dict[str, Score]:
    """Every metric of the task over N labelled rows, primary first, with a bootstrap over the rows or their groups.

    Output and target are `[N, ...]`, labelled rows only. One draw of rows serves all metrics. Resamples in which a
    metric does not exist (one class alone) are passed over.

    >>> import torch
    >>> from motet.tasks import Binary
    >>> codec = Binary().fit(["no", "yes"])
    >>> scores = score(codec, torch.tensor([2.0, -1.0, 1.0]), torch.tensor([1.0, 0.0, 0.0]), seed=0)
    >>> round(scores["accuracy"].value, 3), round(scores["accuracy"].high, 3)
    (0.667, 0.98)
    """
    metrics = codec.metrics()
    drawn = [metric.of_rows(output, target) for metric in metrics]
    resampling = Resampling(len(target), groups, seed, resamples)
    table = np.array([[of_rows(rows) for of_rows in drawn] for rows in resampling.rows()], dtype=np.float64)
    table = table.reshape(-1, len(metrics))
    scores = {}
    for column, metric in enumerate(metrics):
        value = metric.compute(output, target)
        low, high = resampling.bounds(value, table[:, column], level=level)
        scores[metric.name] = Score(value, low, high, metric.higher_is_better)
    return scores


def baseline(codec: Codec, prior: Tensor, target: Tensor) -> dict[str, float]:
    """What `codec.trivial`, which knows no input, scores on these N rows: the least a model has to beat.

    >>> import torch
    >>> from motet.tasks import Binary
    >>> codec = Binary().fit(["no", "yes"])
    >>> baseline(codec, codec.prior(torch.tensor([0.0, 0.0, 1.0])), torch.tensor([0.0, 1.0, 0.0, 0.0]))["accuracy"]
    0.75
    """
    codec = uncalibrated(codec)  # the temperature is that of the model, not of the prior
    unmoved = codec.trivial(prior, target)
    return {metric.name: metric.compute(unmoved, target) for metric in codec.metrics()}
