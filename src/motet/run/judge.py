"""How good the model is: while it trains, on the validation rows, against what needs no model."""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from motet.core.errors import RunError
from motet.core.flow import Batch, Cells
from motet.data import Dataset
from motet.model import Collected, Network, collect
from motet.run.prepare import Prepared
from motet.run.tables import scores_by_table
from motet.serving.predictor import BATCH
from motet.tasks.base import Codec, Metric
from motet.tasks.part import PartTask
from motet.training import Validation

MOST_LABELS_OF_PARTS = 1000
"""So many rows tell what is known of the parts of any: masks of all of them at once would fill the memory."""


def priors(prepared: Prepared) -> dict[str, Tensor]:
    """What is known of each task's labels without any input: the trivial baseline."""
    train = prepared.fitted.splits.train
    return {
        task: codec.prior(
            labels(prepared.dataset, train, task, most=MOST_LABELS_OF_PARTS if isinstance(spec, PartTask) else None)
        )
        for task, (spec, codec) in prepared.fitted.tasks.items()
    }


def labels(dataset: Dataset, rows: np.ndarray, task: str, *, most: int | None = None) -> Tensor:
    """The targets of those of these rows that have a label; of `most` of them, evenly spread, where there are more."""
    column = dataset.store.columns[task]
    rows = rows[column.present[dataset.store.places(rows)]]
    if most is not None and len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).astype(int)]
    return column.reader.batch(column.take(dataset.store.places(rows), rows))["target"]


def batches_of(dataset: Dataset, rows: np.ndarray) -> Iterator[Batch]:
    """The batches of these rows in order, without augmentation."""
    for start in range(0, len(rows), BATCH):
        yield dataset.batch(rows[start : start + BATCH], epoch=None)


def validator(prepared: Prepared, baseline: Mapping[str, Tensor]) -> Callable[[Network], Validation] | None:
    """What the loop calls after each epoch; None without validation rows.

    The gain of a task is how much of the way from the trivial baseline to a perfect score its metric has come,
    (m - m_trivial) / (m_perfect - m_trivial); tasks are averaged by their weights. One number, free of units, that
    does not let a task with large losses outvote the others. Where the task's metric says nothing (the rank
    correlation of a constant, one class among the rows), its next metric that does counts.
    """
    rows = prepared.fitted.splits.valid
    if not len(rows):
        return None
    trivial: dict[str, dict[str, float]] = {}

    def validate(network: Network) -> Validation:
        collected = collect(network, batches_of(prepared.dataset, rows))[0]
        scores: dict[str, dict[str, float]] = {}
        gains: dict[str, float] = {}
        words = []
        for task, (spec, codec) in sorted(prepared.fitted.tasks.items()):  # their order must not change a bit
            metrics = {metric.name: metric for metric in codec.metrics()}
            output, target = collected.scored(task)
            scores[task] = {name: metric.compute(output, target) for name, metric in metrics.items()}
            if task not in trivial:
                unmoved = codec.trivial(baseline[task], target)
                trivial[task] = {name: metric.compute(unmoved, target) for name, metric in metrics.items()}
            order = [spec.primary, *(name for name in metrics if name != spec.primary)]
            gains_of = (relative_gain(scores[task][name], trivial[task][name], metrics[name]) for name in order)
            gain = next((gain for gain in gains_of if math.isfinite(gain)), math.nan)
            words.append(f"{task} {spec.primary} {scores[task][spec.primary]:.4f}")
            if math.isfinite(gain):
                gains[task] = gain
        weights = [prepared.fitted.tasks[task][0].weight_at(1.0) for task in gains]
        mean = float(np.average(list(gains.values()), weights=weights)) if gains else 0.0
        return Validation(
            scores,
            gain=-math.inf if diverged(collected) else mean,
            text="  ".join(words),
            gains=gains,
            singles=single_scores(prepared, collected),
            losses=mean_losses(network, collected),
            tables=scores_by_table(prepared.fitted.table, collected, prepared.fitted.tasks),
        )

    return validate


def single_scores(prepared: Prepared, collected: Collected) -> dict[str, dict[str, float]]:
    """By input and task, the primary metric of the throttle's single-input heads on the rows with input and label."""
    scores: dict[str, dict[str, float]] = {}
    for task, heads in collected.singles.items():
        spec, codec = prepared.fitted.tasks[task]
        compute = next(metric.compute for metric in codec.metrics() if metric.name == spec.primary)
        for name, output in heads.items():
            rows = collected.labelled[task] & collected.present[name]
            value = compute(output[rows], collected.targets[task][rows]) if bool(rows.any()) else math.nan
            scores.setdefault(name, {})[task] = value
    return scores


@torch.no_grad()
def mean_losses(network: Network, collected: Collected) -> dict[str, dict[str, float]]:
    """By input and task, the mean loss of the single-input heads; of the joint decisions under the empty name.

    They are the losses of training: a joint decision is judged by its rule. NaN where no row counts.
    """
    losses: dict[str, dict[str, float]] = {}
    device = next(network.parameters()).device
    for task, heads in collected.singles.items():
        labelled = collected.labelled[task] & _trained_on(collected.targets[task])
        target = {"target": collected.targets[task]}
        for name, output in {"": collected.outputs[task], **heads}.items() if heads else ():
            rows = labelled & collected.present[name] if name else labelled
            judged = network.tasks[task].loss if name else network.rules[task].loss
            loss = judged(output.to(device), Cells(target, rows).to(device)).sum() / rows.sum()
            losses.setdefault(name, {})[task] = float(loss)
    return losses


def _trained_on(target: Tensor) -> Tensor:
    """Rows whose label is one that the training rows have; the number of any other class is below 0."""
    if target.is_floating_point() or target.dim() > 1:
        return torch.ones(len(target), dtype=torch.bool)
    return target >= 0


def diverged(collected: Collected) -> list[str]:
    """The tasks with an answer that is not finite: weights that give one are worth less than any others."""
    return sorted(task for task, output in collected.outputs.items() if not bool(output.isfinite().all()))


def check_finite(collected: Collected) -> None:
    """Refuse to hand over a model whose answers are not finite; raises `RunError`."""
    if tasks := diverged(collected):
        raise RunError(
            f"the answers for {', '.join(tasks)} are not finite after training: it diverged; "
            "try a lower training.learning_rate, or look at the targets"
        )


def relative_gain(value: float, trivial: float, metric: Metric) -> float:
    """How much of the way from trivial to perfect, at least -1; NaN where either score does not exist.

    >>> relative_gain(0.75, 0.5, Metric("auroc", True, lambda o, t: 0.0))
    0.5
    """
    room = metric.best - trivial
    if not math.isfinite(value) or not abs(room) > 1e-12:
        return math.nan
    return max(-1.0, (value - trivial) / room)


def calibrate(prepared: Prepared, collected: Collected) -> dict[str, Codec]:
    """Every codec with its intervals fitted on these held-out rows."""
    return {task: codec.calibrated(*collected.scored(task)) for task, (_, codec) in prepared.fitted.tasks.items()}


def start_from_priors(network: Network, baseline: Mapping[str, Tensor]) -> None:
    """An untrained head answers its task's prior, so that training starts from the trivial baseline."""
    with torch.no_grad():
        for task, heads in network.heads.items():
            for _, head in heads.items():
                head.start_from(baseline[task])
            for _, single in network.singles[task].items() if task in network.singles else ():
                single.start_from(baseline[task])
            network.rules[task].start_from(baseline[task])
            network.priors[task].start_from(baseline[task])
        for task, part in network.parts.heads.items():
            part.start_from(baseline[task])
