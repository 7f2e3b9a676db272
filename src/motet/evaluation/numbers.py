"""Truth and answer of tasks that answer with numbers, as a scatter shows them, and how bad each answer is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from motet.evaluation.interval import Floats
from motet.tasks import Codec, CountCodec, GaussianCodec, QuantileCodec, RegressionCodec, SeveralCodec

NUMBERS = (CountCodec, GaussianCodec, QuantileCodec, RegressionCodec, SeveralCodec)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Of N rows: one number each, in the user's units; `badness` `[N]`; half the width of a constant interval."""

    truth: Sequence[float]
    answer: Sequence[float]
    badness: Floats
    half_width: float | None


def numbers_of(codec: Codec, truth: Sequence[Any], answer: Sequence[Any]) -> Numbers:
    """What decoded labels and answers have to show; of several numbers the first is shown and all count as bad.

    Errors of counts are measured by the deviation that counts of this size have.

    >>> from motet.tasks import Regression
    >>> numbers_of(Regression(columns=("a", "b")).fit([[0, 0], [2, 20]]), [[1.0, 10.0]], [[2.0, 30.0]]).badness
    array([1.5])
    """
    truths, answers = np.array(truth, dtype=np.float64), np.array(answer, dtype=np.float64)
    errors = np.abs(answers - truths)
    if isinstance(codec, SeveralCodec):
        first, scale = codec.places[0], np.array([place.scale for place in codec.places])
        return Numbers(truths[:, 0].tolist(), answers[:, 0].tolist(), (errors / scale).mean(axis=1), _half_width(first))
    if isinstance(codec, CountCodec):
        errors = errors / np.sqrt(1 + answers + codec.dispersion * answers**2)
    return Numbers(truth, answer, errors, _half_width(codec))


def _half_width(codec: Codec) -> float | None:
    if not isinstance(codec, RegressionCodec) or codec.half_width is None:
        return None
    return codec.scale * codec.half_width
