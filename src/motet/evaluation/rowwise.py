"""What can be said of one row at a time: how good its answer is, and how sure.

N rows. A metric that is no mean over rows, such as auroc or r2, can not be said of a few rows chosen by how sure they
are: r2 falls where the truth varies less. So the sure rows, and slices, are measured by a metric that is.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from motet.evaluation.interval import Floats, Judge
from motet.evaluation.numbers import NUMBERS
from motet.tasks import Codec, MultilabelCodec, RegressionCodec, SeveralCodec
from motet.tasks.classes import ClassCodec


@dataclass(frozen=True, slots=True)
class RowScores:
    """A metric of the task that is the mean over rows of `values` `[N]`."""

    metric: str
    values: Floats
    higher_is_better: bool

    @property
    def judge(self) -> Judge:
        """The mean of drawn rows; NaN of none."""
        values = torch.from_numpy(self.values)
        return lambda rows: float(values[rows].mean()) if len(rows) else float("nan")


def row_scores(codec: Codec, output: Tensor, target: Tensor) -> RowScores | None:
    """By kind accuracy, hamming of several labels, mae of numbers; None for others, and where one is not finite.

    >>> from motet.tasks import Binary
    >>> codec = Binary().fit(["no", "yes"])
    >>> row_scores(codec, torch.tensor([2.0, 1.0]), torch.tensor([1.0, 0.0])).values
    array([1., 0.])
    """
    if not len(target) or not bool(output.isfinite().all()):
        return None
    if isinstance(codec, ClassCodec):
        right = codec.answered(output) == target.cpu().long()
        return RowScores("accuracy", right.double().numpy(), True)
    if isinstance(codec, MultilabelCodec):
        wrong = (output.cpu() > 0) != (target.cpu() > 0.5)
        return RowScores("hamming", wrong.double().mean(-1).numpy(), False)
    if isinstance(codec, NUMBERS):
        errors = np.abs(_numbers(codec.decode(output)[""]) - _numbers(codec.decode(codec.certain(target))[""]))
        return RowScores("mae", errors.mean(axis=-1), False)
    return None


def confidence(codec: Codec, output: Tensor) -> Floats | None:
    """How sure each row's answer is `[N]`, in whatever measure; None where all rows are as sure, or nothing tells.

    That is the probability of the answer; of several labels the mean of theirs; of numbers the width of the interval,
    with its sign turned, where it differs from row to row.
    """
    if isinstance(codec, ClassCodec):
        sure = codec.probabilities(output).gather(1, codec.answered(output)[:, None])[:, 0].numpy()
    elif isinstance(codec, MultilabelCodec):
        sure = (output.detach().double().cpu() / codec.temperature).abs().sigmoid().mean(-1).numpy()
    elif isinstance(codec, NUMBERS) and not _constant(codec) and "low" in (columns := codec.decode(output)):
        sure = -((_numbers(columns["high"]) - _numbers(columns["low"])) / _scales(codec)).mean(axis=-1)
    else:
        return None
    return np.asarray(sure, dtype=np.float64)


def _constant(codec: Codec) -> bool:
    return isinstance(codec.places[0] if isinstance(codec, SeveralCodec) else codec, RegressionCodec)


def _scales(codec: Codec) -> Floats:
    places = codec.places if isinstance(codec, SeveralCodec) else ()
    return np.array([place.scale for place in places] or [1.0])


def _numbers(values: list[object]) -> Floats:
    """`[N, places]`."""
    found: Floats = np.array(values, dtype=np.float64).reshape(len(values), -1)
    return found
