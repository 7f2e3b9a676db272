"""What a linear model, or boosted trees, make of the same rows: how much of the score is owed to the network."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from motet.core.flow import Cells
from motet.evaluation import score
from motet.evaluation.interval import difference
from motet.evaluation.rivals import Answer, Rival, TooWide, has_rivals, linear_model, tree_model
from motet.evaluation.simple import Simple, joined, simple_features, stacked
from motet.run.judge import labels
from motet.run.scored import Scored
from motet.tasks.base import Codec, Metric
from motet.tasks.classes import uncalibrated
from motet.tasks.row import RowTask
from motet.training import Progress

BATCH = 256
LEAST_ROWS = 100
"""With fewer labelled training rows a model fitted to them says little about the table."""
MOST_ROWS = 20_000
MOST_WORK = 1e8
"""Numbers that a linear model reads in one pass, rows times features times outputs: a few seconds of all its passes."""
STRENGTHS = (1.0, 10.0, 100.0)
"""Penalties that are tried on the validation rows, where these are not the scored ones."""


def baselines_of(scored: Scored, progress: Progress) -> dict[str, dict[str, Any]]:
    """By task `baselines`: of each its metrics, each with an interval, and the `difference` that the network makes.

    That is the network's primary metric minus the baseline's on the same draws of rows, its sign turned where lower is
    better. Baselines are fitted on the training rows with the label, evenly spread ones where there are too many
    (`rows` says how many); a linear model's penalty is the best of three on the validation rows. Inputs that a row
    lacks are zeros there.
    """
    wanted = scored.spec.baselines
    tasks = [task for task, (_, codec) in scored.fitted.tasks.items() if wanted and has_rivals(codec)]
    if not tasks:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for name in wanted:
        features = _Features(scored, plain=name == "trees")
        for task in tasks:
            progress.say(f"fitting the {name} baseline of {task}")
            judged = _judged(name, task, scored, features, progress)
            if judged is not None:
                found.setdefault(task, {})[name] = judged
    return {task: {"baselines": by_name} for task, by_name in found.items()}


def _judged(name: Rival, task: str, scored: Scored, features: "_Features", progress: Progress) -> dict[str, Any] | None:
    """None where there are too few rows, or too many features."""
    spec, codec = scored.fitted.tasks[task]
    codec = uncalibrated(codec)  # a temperature is the network's own
    assert isinstance(spec, RowTask)
    rows = features.labelled(scored.fitted.splits.train, task)
    if len(rows) < LEAST_ROWS:
        return None
    outputs = int(np.prod(spec.output_shape(codec)))
    rows = rows[_spread(len(rows), _affordable(features.of(rows[:1]).numbers.shape[1], outputs))]
    x, y = features.of(rows), labels(scored.prepared.dataset, rows, task)
    metric = next(one for one in codec.metrics() if one.name == spec.primary)
    try:
        if name == "linear":
            answer = _linear(codec, x, y, metric, task, scored, features)
        else:
            answer = tree_model(codec, x, y, seed=scored.seed)
    except TooWide as error:
        progress.say(f"no {name} baseline of {task}: {error}")
        return None
    output, target = scored.scored(task)
    said = answer(features.of(scored.rows[scored.found.labelled[task].numpy()]))
    groups, wanted = scored.groups_of(task), scored.spec
    settings: dict[str, Any] = {"seed": scored.seed, "resamples": wanted.resamples, "level": wanted.level}
    mine, theirs = metric.of_rows(output, target), metric.of_rows(said, target)
    better = (mine, theirs) if metric.higher_is_better else (theirs, mine)
    return {
        "metrics": score(codec, said, target, groups=groups, **settings),
        "difference": difference(*better, len(target), groups=groups, **settings),
        "rows": len(rows),
    }


def _linear(
    codec: Codec, x: Simple, y: Tensor, metric: Metric, task: str, scored: Scored, features: "_Features"
) -> Answer:
    """The best of `STRENGTHS` on the validation rows; the first where these are the scored ones, or say nothing."""
    valid = features.labelled(scored.fitted.splits.valid, task)
    if scored.part == "valid" or not len(valid):
        return linear_model(codec, x, y, strength=STRENGTHS[0])
    valid = valid[_spread(len(valid), MOST_ROWS)]
    held, truth = features.of(valid), labels(scored.prepared.dataset, valid, task)
    sign = 1 if metric.higher_is_better else -1
    answers = [linear_model(codec, x, y, strength=strength) for strength in STRENGTHS]
    gains = np.nan_to_num([sign * metric.compute(one(held), truth) for one in answers], nan=-np.inf)
    return answers[int(np.argmax(gains))]


class _Features:
    """Simple features of rows of the run's table, all inputs side by side; made once for tasks that share their rows.

    `plain` has each number as it is, without the encoding that makes a linear model of it a curve.
    """

    def __init__(self, scored: Scored, *, plain: bool) -> None:
        self.dataset = scored.prepared.dataset
        self.inputs = {
            name: plain and spec.kind == "number" for name, (spec, _) in sorted(scored.fitted.inputs.items())
        }
        self._known: dict[bytes, Simple] = {}

    def of(self, rows: np.ndarray) -> Simple:
        key = rows.tobytes()
        if key not in self._known:
            self._known[key] = stacked(list(self._parts(rows)))
        return self._known[key]

    def labelled(self, rows: np.ndarray, task: str) -> np.ndarray:
        column = self.dataset.store.columns[task]
        labelled: np.ndarray = rows[column.present[self.dataset.store.places(rows)]]
        return labelled

    def _parts(self, rows: np.ndarray) -> Iterator[Simple]:
        for start in range(0, len(rows), BATCH):
            cells = self.dataset.batch(rows[start : start + BATCH], epoch=None).inputs
            yield joined(
                [
                    simple_features(_as_it_is(cells[name]) if plain else cells[name])
                    for name, plain in self.inputs.items()
                ]
            )


def _as_it_is(cells: Cells) -> Cells:
    """The number alone, of the features that begin with it."""
    return Cells({name: value[:, :1] for name, value in cells.values.items()}, cells.present)


def _affordable(width: int, outputs: int) -> int:
    """For how many training rows there is time."""
    return int(min(MOST_ROWS, max(LEAST_ROWS, MOST_WORK / (width * outputs))))


def _spread(count: int, most: int) -> np.ndarray:
    """Places of at most so many of `count` rows, evenly spread."""
    places: np.ndarray = np.linspace(0, count - 1, min(count, most)).astype(int)
    return places
