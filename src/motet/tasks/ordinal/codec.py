"""Ordered labels and answers about them: levels, and scores that know how far apart two levels are."""

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from motet.core.checks import text_of
from motet.tasks.base import Metric
from motet.tasks.classes import ClassCodec
from motet.tasks.labels import Label, label_of
from motet.tasks.losses import CERTAIN
from motet.tasks.metrics import Floats, metric_of_counts
from motet.tasks.ordinal.cumulative import log_odds, tempered

UNKNOWN = -1


class OrdinalCodec(ClassCodec):
    """Target the number of the level (int64 `[B]`), output the log probability of each `[B, C]`; lowest level first."""

    classes: tuple[Label, ...] = Field(min_length=2)

    @property
    def known(self) -> tuple[Label, ...]:
        """The levels."""
        return self.classes

    @cached_property
    def _number(self) -> dict[str, int]:
        return {text_of(label): number for number, label in enumerate(self.classes)}

    @cached_property
    def _amounts(self) -> Floats:
        """What the levels are worth: the numbers they are where all are numbers, else their ranks from 0."""
        numbers = [number_in(text) for text in self._number]
        return np.arange(len(numbers), dtype=np.float64) if None in numbers else np.array(numbers, dtype=np.float64)

    def knows(self, cell: object) -> bool:
        """Whether it is one of the levels."""
        return int(self.read(cell)) != UNKNOWN

    def read(self, cell: object) -> np.ndarray:
        """The number of the level, matched by text; -1 for a label that is none, which counts as the worst miss."""
        return np.asarray(self._number.get(text_of(label_of(cell)), UNKNOWN), dtype=np.int64)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": int64 [n]}`."""
        return {"target": torch.from_numpy(np.stack(items))}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        """The median: the lowest level that the truth does not exceed with probability 1/2 or more; its "probability".

        Of all answers it has the least expected distance, in levels, from the truth. The levels of the "set" are
        neighbours.
        """
        number = self.answered(output)
        sure = self.probabilities(output).gather(1, number[:, None])[:, 0]
        answers = [self.classes[index] for index in number.tolist()]
        return {"": answers, "probability": sure.tolist(), **self.listed(output)}

    def answered(self, output: Tensor) -> Tensor:
        """The median."""
        return torch.from_numpy(_answer(output))

    def log_probabilities(self, output: Tensor, *, temperature: float) -> Tensor:
        """With the log odds of "at most k" divided by the temperature."""
        found = output.double().log_softmax(-1)
        return found if temperature == 1.0 else tempered(found, temperature)

    def strangeness(self, output: Tensor) -> Tensor:
        """The log odds that the truth is beyond the level, on the likelier side; 0 for the answer, above 0 else.

        The levels up to a bound are those between two quantiles (Chernozhukov, Wuthrich & Zhu, Distributional Conformal
        Prediction, PNAS 2021, whose |F(y) - 1/2| is for a number), and so have no gap between them.
        """
        odds = log_odds(self.log_probabilities(output, temperature=1.0))
        edge = torch.full((len(odds), 1), -torch.inf, dtype=odds.dtype)
        strange = torch.maximum(torch.cat([edge, odds], dim=1), torch.cat([-odds, edge], dim=1))
        return strange.clamp(min=0.0).scatter(1, self.answered(output)[:, None], 0.0)

    def certain(self, target: Tensor) -> Tensor:
        """All for the level; nothing for any where it is unknown."""
        return CERTAIN * (target[:, None] == torch.arange(len(self.classes), device=target.device)).float()

    def metrics(self) -> tuple[Metric, ...]:
        """quadratic_kappa (of levels), accuracy, mae (between numbers where all levels are numbers, else in levels)."""
        return (
            _of_sums("quadratic_kappa", self._moments, _quadratic_kappa),
            _of_sums("accuracy", lambda answer, truth: _and_one(answer == truth), _ratio),
            _of_sums("mae", lambda answer, truth: _and_one(self._error(answer, truth)), _ratio, higher_is_better=False),
        )

    def prior(self, target: Tensor) -> Tensor:
        """The log frequencies, half a row added to each level so that they are finite."""
        counts = torch.bincount(target[target >= 0].cpu(), minlength=len(self.classes)) + 0.5
        return torch.log(counts / counts.sum())

    def _moments(self, answer: np.ndarray, truth: np.ndarray) -> Floats:
        """What the sums of quadratic_kappa are of; an unknown truth is at the far end of the scale."""
        top = len(self.classes) - 1
        truth = np.where(truth == UNKNOWN, np.where(2 * answer < top, top, 0), truth)
        parts = (np.ones(len(answer)), answer, truth, answer**2, truth**2, (answer - truth) ** 2)
        return np.stack(parts, axis=-1).astype(np.float64)

    def _error(self, answer: np.ndarray, truth: np.ndarray) -> Floats:
        apart = np.abs(self._amounts[:, None] - self._amounts)
        errors: Floats = np.where(truth == UNKNOWN, apart[answer].max(-1), apart[answer, truth])
        return errors


def median_level(probability: Floats) -> np.ndarray:
    """The lowest level up to which there is half the probability, of each row of `[N, C]`.

    >>> median_level(np.array([[0.2, 0.2, 0.6], [0.5, 0.1, 0.4]])).tolist()
    [2, 0]
    """
    below = np.cumsum(probability, axis=-1) < 0.5 - 1e-12
    number: np.ndarray = np.minimum(below.sum(-1), probability.shape[-1] - 1)
    return number


def _answer(output: Tensor) -> np.ndarray:
    """The numbers of the answered levels."""
    return median_level(output.detach().double().cpu().softmax(-1).numpy())


def _of_sums(
    name: str,
    parts: Callable[[np.ndarray, np.ndarray], Floats],
    score: Callable[[Floats], float],
    *,
    higher_is_better: bool = True,
) -> Metric:
    """A metric that is a function of a sum over rows of parts of answer and truth; NaN where one is not finite."""

    def counts(output: Tensor, target: Tensor) -> Floats:
        found = parts(_answer(output), target.cpu().numpy())
        found[~output.detach().isfinite().all(dim=-1).cpu().numpy()] = np.nan
        return found

    return metric_of_counts(name, counts, score, higher_is_better=higher_is_better)


def _quadratic_kappa(sums: Floats) -> float:
    """1 - sum (a - y)^2 / E, E being the same sum if answers and truths were paired at random."""
    rows, answer, truth, answer_squared, truth_squared, apart = sums
    expected = answer_squared + truth_squared - 2 * answer * truth / rows
    return float(1 - apart / expected) if expected > 1e-9 else float("nan")


def _and_one(values: np.ndarray) -> Floats:
    return np.stack([values.astype(np.float64), np.ones(len(values))], axis=-1)


def _ratio(sums: Floats) -> float:
    return float(sums[0] / sums[1])


def number_in(text: str) -> float | None:
    """The finite number that the text spells, if it does."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
