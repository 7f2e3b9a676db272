"""Can the probabilities be believed: how far they are from how often they come true, before and after tempering."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from motet.evaluation.details import Bin, reliability
from motet.evaluation.interval import Floats
from motet.tasks import BinaryCodec, Codec, MultilabelCodec
from motet.tasks.classes import ClassCodec, uncalibrated
from motet.tasks.metrics import calibration_error


@dataclass(frozen=True, slots=True)
class Calibration:
    """Expected calibration errors (lower is better) and the bins behind them, with the fitted temperature and without.

    `fitted_on` is the part of the table whose rows gave the temperature, `same_rows` whether these are the scored rows:
    then the error after is lower than new rows will find it; None where that is not known. Both, and the temperature,
    are None where nothing was fitted, or nobody knows on what.
    """

    before: float
    after: float
    temperature: float | None
    fitted_on: str | None
    same_rows: bool | None
    bins: Sequence[Bin]
    bins_before: Sequence[Bin]


def calibration(
    codec: Codec, output: Tensor, target: Tensor, *, fitted_on: str | None, same_rows: bool | None
) -> Calibration | None:
    """Of N labelled rows; None for kinds without probabilities.

    What is held against the truth is the probability of the positive label of two, else that of the answer; of several
    labels that of each (Guo et al., ICML 2017; 15 bins of equal width for the error, 10 for what is drawn).

    >>> import torch
    >>> from motet.tasks import Binary
    >>> codec = Binary().fit(["no", "yes"]).model_copy(update={"temperature": 50.0})
    >>> output, target = torch.tensor([9.0, 9.0]), torch.tensor([1.0, 0.0])
    >>> found = calibration(codec, output, target, fitted_on="valid", same_rows=False)
    >>> round(found.before, 2), round(found.after, 2)
    (0.5, 0.04)
    """
    if not isinstance(codec, ClassCodec | MultilabelCodec) or not len(target) or not bool(output.isfinite().all()):
        return None
    before, after = _stated(uncalibrated(codec), output, target), _stated(codec, output, target)
    return Calibration(
        before=calibration_error(*before),
        after=calibration_error(*after),
        temperature=None if fitted_on is None else codec.temperature,
        fitted_on=fitted_on,
        same_rows=None if fitted_on is None else same_rows,
        bins=reliability(*after),
        bins_before=reliability(*before),
    )


def _stated(codec: Codec, output: Tensor, target: Tensor) -> tuple[Floats, np.ndarray]:
    """Probabilities, and whether what they are of is true."""
    if isinstance(codec, MultilabelCodec):
        stated = (output.detach().double().cpu() / codec.temperature).sigmoid()
        return stated.reshape(-1).numpy(), (target.cpu() > 0.5).reshape(-1).numpy()
    assert isinstance(codec, ClassCodec)
    probabilities, truth = codec.probabilities(output), target.cpu().long()
    if isinstance(codec, BinaryCodec):
        return probabilities[:, 1].numpy(), (truth == 1).numpy()
    answer = codec.answered(output)
    return probabilities.gather(1, answer[:, None])[:, 0].numpy(), (answer == truth).numpy()
