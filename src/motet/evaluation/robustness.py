"""How a score falls as one input gets worse: noisier, or absent in more rows.

A curve is the score s(l) at levels l from 0, the rows as they are, to 1, and its area A the mean of what is kept,
r(l) = s(l) / s(0), or s(0) / s(l) where lower is better, by trapezoids. As in MultiBench (Liang et al., NeurIPS
Datasets and Benchmarks 2021), after Taori et al. (NeurIPS 2020),

    relative robustness = A(noise),        effective robustness = A(noise) - A(absence):

effective, because an input that hardly counts makes any model robust to its noise. Above 0 the model gets more out of
the noisy input than out of none at all in as many rows; below 0 it would do better to leave the input out.
Deviations: MultiBench compares scores themselves, in place of what is kept of them, and sums the distances to the
curve of late fusion, a second model; here one model is its own measure.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from motet.core.seed import generator
from motet.evaluation.contribution import TaskRows, scores_of
from motet.evaluation.interval import Floats, Interval, Resampling

LEVELS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Noisy:
    """The score where an input is distorted as much as `level` says."""

    level: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Missing:
    """The score where an input is absent in this part of the rows that have it."""

    rate: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Robustness:
    """Both curves from 0 on, and their areas as one figure each; NaN where the score of clean rows is not positive.

    One draw of rows serves all of them, so that the two areas are compared on the same rows.
    """

    noise: tuple[Noisy, ...]
    absence: tuple[Missing, ...]
    relative: Interval
    effective: Interval


def robustness_of(
    rows: TaskRows,
    *,
    clean: Tensor,
    absent: Tensor,
    noisy: Mapping[float, Tensor],
    name: str,
    seed: int,
    resamples: int,
    level: float,
) -> Robustness:
    """The curves of one input (`name`) for one task, from outputs `[N, ...]` with it, without it, and with noise.

    Since a row is alone, the model's answer at a rate of absence is that of `clean` or of `absent`, row by row; a row
    that is without at one rate is so at every higher one.
    """
    levels = sorted(noisy)
    draw = torch.from_numpy(generator(seed, "absence", name).random(len(clean)))
    outputs = [clean, *(noisy[one] for one in levels), *(_mixed(clean, absent, draw < one) for one in levels)]
    resampling = Resampling(int(rows.labelled.sum()), rows.labelled_groups, seed, resamples)
    table = scores_of(rows, outputs, resampling)
    first, noise, absence = table[:, :1], table[:, 1 : len(levels) + 1], table[:, len(levels) + 1 :]
    higher, at = rows.sign > 0, [0.0, *levels]
    kept = np.array([area(at, line, higher_is_better=higher) for line in np.hstack([first, noise]).tolist()])
    without = np.array([area(at, line, higher_is_better=higher) for line in np.hstack([first, absence]).tolist()])

    def bounded(line: Floats, *, paired: bool = False) -> tuple[float, float, float]:
        return float(line[0]), *resampling.bounds(float(line[0]), line[1:], level=level, paired=paired)

    start = bounded(first[:, 0])
    return Robustness(
        (Noisy(0.0, *start), *(Noisy(one, *bounded(noise[:, place])) for place, one in enumerate(levels))),
        (Missing(0.0, *start), *(Missing(one, *bounded(absence[:, place])) for place, one in enumerate(levels))),
        Interval(*bounded(kept)),
        Interval(*bounded(kept - without, paired=True)),
    )


def area(levels: Sequence[float], scores: Sequence[float], *, higher_is_better: bool) -> float:
    """The mean over the levels of what is kept of the first score, by trapezoids; NaN where that is not positive.

    >>> area([0.0, 0.5, 1.0], [0.8, 0.6, 0.4], higher_is_better=True)
    0.75
    """
    kept = np.array([_kept(one, scores[0], higher_is_better) for one in scores])
    widths = np.diff(np.array(levels))
    return float((widths * (kept[1:] + kept[:-1]) / 2).sum() / widths.sum())


def _kept(score: float, clean: float, higher_is_better: bool) -> float:
    if higher_is_better:
        return max(score, 0.0) / clean if clean > 0 else math.nan
    if clean < 0 or score < 0 or not math.isfinite(clean + score):
        return math.nan
    return clean / score if score > 0 else 1.0


def _mixed(clean: Tensor, absent: Tensor, hidden: Tensor) -> Tensor:
    return torch.where(hidden.view(-1, *[1] * (clean.dim() - 1)), absent, clean)
