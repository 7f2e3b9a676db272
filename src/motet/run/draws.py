"""Rows drawn by their classes, rows that count more than others, and what can not go with either."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64

from motet.core.checks import did_you_mean
from motet.core.errors import SpecError
from motet.data import Dataset
from motet.model import Network
from motet.tasks.base import TaskSpec

OF_CLASSES = ("binary", "multiclass", "ordinal")


def class_weights(dataset: Dataset, rows: np.ndarray, task: str) -> Float64[np.ndarray, "rows"]:
    """So that each class is drawn as often: a labelled row weighs in proportion to 1 / the rows of its class.

    The mean over the labelled rows is 1, which is what a row without the label weighs.
    """
    column, places = dataset.store.columns[task], dataset.store.places(rows)
    present = column.present[places]
    target = column.reader.batch(column.take(places[present], rows[present]))["target"].long().numpy()
    known = target >= 0  # a class that no label of a closed set names is none
    _, number, count = np.unique(target[known], return_inverse=True, return_counts=True)
    weights = np.ones(len(rows))
    weights[np.flatnonzero(present)[known]] = len(number) / len(count) / count[number.reshape(-1)]
    return weights


def check_resampled(task: str | None, tasks: Mapping[str, TaskSpec]) -> None:
    """Refuse what is no task of classes."""
    if task is None:
        return
    if task not in tasks:
        raise SpecError(f"data.resample: there is no task {task!r}{did_you_mean(task, tasks)}")
    if tasks[task].kind not in OF_CLASSES:
        raise SpecError(
            f"data.resample: {task!r} is {tasks[task].kind}; rows are drawn by the classes of a "
            f"{', '.join(OF_CLASSES[:-1])} or {OF_CLASSES[-1]} task"
        )


def check_weighed(network: Network, *, balance: str) -> None:
    """Refuse what counts all rows alike, where rows weigh differently."""
    why = "some rows weigh more than others (data.weight, or the weight of a table), but"
    if network.throttle.uses_singles:
        raise SpecError(f"balance.modalities: {why} the losses of {balance} count all alike; use modalities: none")
    for task, rule in network.rules.items():
        if rule.rows_alike:
            raise SpecError(
                f"fusion.rule: {why} the rule by which the streams of task {task!r} are joined has losses of its own "
                "that count all alike; use rule: mean"
            )
