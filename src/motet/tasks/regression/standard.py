"""What the codecs of one number have in common: standardised labels, and answers and scores in the user's units."""

from collections.abc import Callable

import numpy as np

from motet.core.errors import CellError
from motet.tasks.base import Metric
from motet.tasks.metrics import Floats, mean_absolute_error, metric, r2, root_mean_squared_error, spearman
from motet.tasks.numbers import number_of


def standardised(cell: object, *, center: float, scale: float) -> np.ndarray:
    """The standardised number; computed in float64, so that large numbers far from 0 keep their differences."""
    value = (number_of(cell) - center) / scale
    if abs(value) > float(np.finfo(np.float32).max):
        raise CellError("too far from every number of the training rows")
    return np.asarray(value, dtype=np.float32)


def metrics_of(answer: Callable[[Floats], Floats], *, scale: float) -> tuple[Metric, ...]:
    """r2, mae, rmse and spearman of the `answer` `[N]` in outputs; mae and rmse in the user's units."""
    return (
        metric("r2", lambda f, y: r2(answer(f), y)),
        metric("mae", lambda f, y: scale * mean_absolute_error(answer(f), y), higher_is_better=False),
        metric("rmse", lambda f, y: scale * root_mean_squared_error(answer(f), y), higher_is_better=False),
        metric("spearman", lambda f, y: spearman(answer(f), y)),
    )
