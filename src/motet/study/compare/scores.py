"""Scores of every candidate, seed and draw of rows: what rankings and their intervals are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from motet.evaluation.interval import Resampling
from motet.study.compare.candidate import Finished, Read, task_differs

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TaskScores:
    """The primary metric of one task: `values [C, S]`, on the B lists of `resampling.rows()` `draws [C, S, B]`.

    NaN where there is no run. `rows` are labelled for the task. `trivial` is what a constant answer scores, `best` what
    a perfect one does.
    """

    task: str
    kind: str
    metric: str
    higher_is_better: bool
    best: float
    trivial: float
    rows: int
    values: Floats
    draws: Floats
    resampling: Resampling
    """Of the labelled rows."""

    @property
    def signed(self) -> "tuple[Floats, Floats]":
        """Values and draws, turned so that more is better."""
        sign = 1.0 if self.higher_is_better else -1.0
        return sign * self.values, sign * self.draws

    @property
    def gains(self) -> "tuple[Floats, Floats]":
        """How far from the trivial to a perfect score each came, (m - m_trivial) / (m_best - m_trivial), at least -1.

        It is what chooses the best epoch of a run too (`run/judge.py`). NaN where the trivial score does not exist.
        """
        room = self.best - self.trivial
        if not abs(room) > 1e-12:
            room = np.nan
        return tuple(np.maximum(-1.0, (one - self.trivial) / room) for one in (self.values, self.draws))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Draws of the N scored rows with replacement, then N without each of some blocks, for all tasks and runs alike."""

    groups: Tensor | None
    seed: int
    resamples: int
    rows: Sequence[Tensor]

    def among(self, labelled: Tensor) -> Resampling:
        """What gives the bounds of scores of the labelled rows (`[N]`) of these."""
        groups = None if self.groups is None else self.groups[labelled].numpy()
        return Resampling(int(labelled.sum()), groups, self.seed, self.resamples)


def drawn_rows(num_rows: int, groups: Tensor | None, *, seed: int, resamples: int) -> Drawn:
    """Draws of the scored rows; where these are in groups, of whole groups."""
    drawn = Resampling(num_rows, None if groups is None else groups.numpy(), seed, resamples)
    return Drawn(groups, seed, resamples, list(drawn.rows()))


def task_scores(
    read: Read, task: str, *, candidates: Sequence[str], seeds: Sequence[int], drawn: Drawn
) -> TaskScores | None:
    """The scores of one task; None where fewer than two candidates answer it. What does not match is declined."""
    answering = read.answering(task)
    if len(answering) < 2:
        return None
    first = next(iter(next(iter(answering.values())).values()))
    labelled = first.outputs.tasks[task].labelled
    place = labelled.long().cumsum(0) - 1
    indices = [place[rows[labelled[rows]]] for rows in drawn.rows]
    every = torch.arange(int(labelled.sum()))
    values = np.full((len(candidates), len(seeds)), np.nan)
    draws = np.full((len(candidates), len(seeds), len(drawn.rows)), np.nan)
    for name, runs in answering.items():
        for seed, run in runs.items():
            if (reason := task_differs(first, run, task)) is not None:
                read.declined.append(f"{name}: {reason}")
                continue
            at = candidates.index(name), seeds.index(seed)
            values[at], draws[at] = _judged(run, task, every, indices)
    entry, metric = first.report["tasks"][task], first.metric(task)
    trivial = entry["baseline"].get(metric.name)
    return TaskScores(
        task,
        entry["kind"],
        metric.name,
        metric.higher_is_better,
        metric.best,
        np.nan if trivial is None else trivial,
        len(every),
        values,
        draws,
        drawn.among(labelled),
    )


def _judged(run: Finished, task: str, every: Tensor, indices: Sequence[Tensor]) -> tuple[float, list[float]]:
    said = run.outputs.tasks[task]
    judge = run.metric(task).of_rows(said.output[said.labelled], said.target[said.labelled])
    return judge(every), [judge(rows) if len(rows) else float("nan") for rows in indices]


def mean_gains(tasks: Mapping[str, TaskScores]) -> tuple[list[str], Floats, Floats]:
    """The tasks that count, and each candidate's mean relative gain over them: `[C, S]`, `[C, S, B]`.

    A task without a trivial score counts for nobody; who lacks a task that counts has no mean.
    """
    counting = {name: one.gains for name, one in tasks.items() if np.isfinite(one.gains[0]).any()}
    if not counting:
        some = next(iter(tasks.values()))
        return [], np.full_like(some.values, np.nan), np.full_like(some.draws, np.nan)
    values, draws = (np.mean([gains[place] for gains in counting.values()], axis=0) for place in (0, 1))
    return list(counting), values, draws


def fewest_units(tasks: Mapping[str, TaskScores], counting: Sequence[str]) -> Resampling:
    """What bounds a mean over the counting tasks: that of the task with the fewest rows, or groups of them."""
    return min((tasks[name].resampling for name in counting or tasks), key=lambda one: one.num_units)
