"""What a linear model, or boosted trees, make of the same rows: how much of the score is owed to the network."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from motet.core.flow import Cells
from motet.data import Dataset
from motet.evaluation import score
from motet.evaluation.interval import difference
from motet.evaluation.rivals import Answer, NoRival, Rival, has_rivals, linear_model, tree_model
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
    better. Baselines are fitted on the training rows with the label, each counting as in training, evenly spread ones
    where there are too many (`rows` says how many); a linear model's penalty is the best of three on the validation
    rows. Inputs that a row lacks are zeros there. Every row is read once for all of it. A baseline that can not be
    fitted is left out, and `progress` says why.
    """
    wanted = scored.spec.baselines
    samples = {task: _Sample(scored, task) for task in scored.fitted.tasks if wanted and _is_asked(scored, task)}
    if not samples:
        return {}
    found: dict[str, dict[str, Any]] = {}
    features = _Features(scored, [rows for one in samples.values() for rows in (one.train, one.valid, one.scored)])
    for task, sample in samples.items():
        for name in wanted:
            progress.say(f"fitting the {name} baseline of {task}")
            try:
                found.setdefault(task, {})[name] = _judged(name, sample, scored, features)
            except NoRival as reason:
                progress.say(f"no {name} baseline of {task}: {reason}")
    return {task: {"baselines": by_name} for task, by_name in found.items() if by_name}


def _is_asked(scored: Scored, task: str) -> bool:
    """Whether there is such a model for the task, and enough rows to fit and to score it."""
    train = _labelled(scored.prepared.dataset, scored.fitted.splits.train, task)
    return has_rivals(scored.fitted.tasks[task][1]) and len(train) >= LEAST_ROWS and len(scored.scored(task)[1]) > 0


class _Sample:
    """The rows of one task: those fitted to, those that choose the penalty, none where they are the scored ones, and
    the scored ones.
    """

    def __init__(self, scored: Scored, task: str) -> None:
        dataset, splits = scored.prepared.dataset, scored.fitted.splits
        self.task = task
        self.train = _spread(_labelled(dataset, splits.train, task), MOST_ROWS)
        valid = splits.valid if scored.part == "test" else splits.valid[:0]
        self.valid = _spread(_labelled(dataset, valid, task), MOST_ROWS)
        self.scored = scored.rows[scored.found.labelled[task].numpy()]


def _judged(name: Rival, sample: _Sample, scored: Scored, features: "_Features") -> dict[str, Any]:
    spec, codec = scored.fitted.tasks[sample.task]
    codec = uncalibrated(codec)  # a temperature is the network's own
    assert isinstance(spec, RowTask)
    metric = next(one for one in codec.metrics() if one.name == spec.primary)
    features.plain = name == "trees"
    outputs = int(np.prod(spec.output_shape(codec)))
    rows = _spread(sample.train, int(max(LEAST_ROWS, MOST_WORK / (features.width * outputs))))
    fitted = features.of(rows), labels(features.dataset, rows, sample.task), features.weights(rows)
    if name == "linear":
        answer = _linear(codec, fitted, metric, sample, features)
    else:
        answer = tree_model(codec, *fitted, seed=scored.seed)
    output, target = scored.scored(sample.task)
    said = answer(features.of(sample.scored))
    groups, wanted = scored.groups_of(sample.task), scored.spec
    settings: dict[str, Any] = {"seed": scored.seed, "resamples": wanted.resamples, "level": wanted.level}
    mine, theirs = metric.of_rows(output, target), metric.of_rows(said, target)
    better = (mine, theirs) if metric.higher_is_better else (theirs, mine)
    return {
        "metrics": score(codec, said, target, groups=groups, **settings),
        "difference": difference(*better, len(target), groups=groups, **settings),
        "rows": len(rows),
    }


def _linear(
    codec: Codec,
    fitted: tuple[Simple, Tensor, np.ndarray | None],
    metric: Metric,
    sample: _Sample,
    features: "_Features",
) -> Answer:
    """The best of `STRENGTHS` on the validation rows; the first where there are none to choose by."""
    if not len(sample.valid):
        return linear_model(codec, *fitted, strength=STRENGTHS[0])
    held, truth = features.of(sample.valid), labels(features.dataset, sample.valid, sample.task)
    sign = 1 if metric.higher_is_better else -1
    answers = [linear_model(codec, *fitted, strength=strength) for strength in STRENGTHS]
    gains = np.nan_to_num([sign * metric.compute(one(held), truth) for one in answers], nan=-np.inf)
    return answers[int(np.argmax(gains))]


class _Features:
    """Simple features of rows of the run's table, all inputs side by side; each row is read once.

    `plain` has each number as it is, without the encoding that makes a linear model of it a curve.
    """

    def __init__(self, scored: Scored, rows: Sequence[np.ndarray]) -> None:
        self.dataset, self.plain = scored.prepared.dataset, False
        self.rows = np.unique(np.concatenate(rows))
        kinds = {name: spec.kind for name, (spec, _) in sorted(scored.fitted.inputs.items())}
        parts = [_of_batch(cells, kinds) for cells in self._batches()]
        self.whole = {plain: stacked([part[plain] for part in parts]) for plain in (False, True)}

    @property
    def width(self) -> float:
        """How many numbers there are of a row, counted ones included where they are not 0."""
        features = self.whole[self.plain]
        counted = 0.0 if features.counts is None else float(features.counts.nnz) / len(self.rows)
        return float(features.numbers.shape[1]) + counted

    def of(self, rows: np.ndarray) -> Simple:
        return self.whole[self.plain].at(np.searchsorted(self.rows, rows))

    def weights(self, rows: np.ndarray) -> np.ndarray | None:
        """How much each row counts."""
        weights = self.dataset.weights
        return None if weights is None else weights[self.dataset.store.places(rows)]

    def _batches(self) -> Iterator[Mapping[str, Cells]]:
        for start in range(0, len(self.rows), BATCH):
            yield self.dataset.batch(self.rows[start : start + BATCH], epoch=None).inputs


def _of_batch(cells: Mapping[str, Cells], kinds: Mapping[str, str]) -> dict[bool, Simple]:
    """Features, with and without the encoding of numbers."""
    encoded = {name: simple_features(cells[name]) for name in kinds}
    alone = {name: simple_features(_alone(cells[name])) for name, kind in kinds.items() if kind == "number"}
    return {False: joined(list(encoded.values())), True: joined(list((encoded | alone).values()))}


def _alone(cells: Cells) -> Cells:
    """The number alone, of the features that begin with it."""
    return Cells({name: value[:, :1] for name, value in cells.values.items()}, cells.present)


def _labelled(dataset: Dataset, rows: np.ndarray, task: str) -> np.ndarray:
    """Those of the rows that have the label."""
    labelled: np.ndarray = rows[dataset.store.columns[task].present[dataset.store.places(rows)]]
    return labelled


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, evenly spread."""
    if len(rows) <= most:
        return rows
    chosen: np.ndarray = rows[np.linspace(0, len(rows) - 1, most).astype(int)]
    return chosen
