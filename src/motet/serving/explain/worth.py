"""The number that speaks for an answer: what contributions and saliency share out."""

from functools import partial

import torch
from torch import Tensor

from motet.model.explain import Worth
from motet.tasks import (
    Codec,
    CountCodec,
    GaussianCodec,
    MultilabelCodec,
    QuantileCodec,
    RankingCodec,
    RegressionCodec,
    SurvivalCodec,
)
from motet.tasks.classes import ClassCodec
from motet.tasks.rules.rates import rate_of


def worth_of(codec: Codec) -> Worth | None:
    """Of a class the probability of what is answered, of a set of labels that of what is said of a label, in the mean;
    a number in the user's units; a score or a log hazard. None where no one number speaks for the answer: several
    numbers, and whatever is about parts or is written.

    >>> from motet.tasks import Binary
    >>> worth_of(Binary().fit(["no", "yes"]))(torch.tensor([0.0]), torch.tensor([-3.0]))
    tensor([0.5000])
    """
    if isinstance(codec, ClassCodec):
        return partial(_of_class, codec)
    if isinstance(codec, MultilabelCodec):
        return lambda output, answered: _of_labels(output / codec.temperature, answered)
    if isinstance(codec, RegressionCodec):
        return lambda output, answered: codec.center + codec.scale * output
    if isinstance(codec, GaussianCodec):
        return lambda output, answered: codec.center + codec.scale * output[:, 0]
    if isinstance(codec, QuantileCodec):
        median = codec.levels.index(0.5)
        return lambda output, answered: codec.center + codec.scale * output.sort(dim=-1).values[:, median]
    if isinstance(codec, CountCodec):
        return lambda output, answered: codec.scale * rate_of(output)
    if isinstance(codec, RankingCodec | SurvivalCodec):
        return lambda output, answered: output
    return None


def _of_class(codec: ClassCodec, output: Tensor, answered: Tensor) -> Tensor:
    number = codec.answered(answered).to(output.device)
    found = codec.log_probabilities(output, temperature=codec.temperature).exp().gather(1, number[:, None])
    return found[:, 0].to(output.dtype)


def _of_labels(output: Tensor, answered: Tensor) -> Tensor:
    return torch.where(answered > 0, output.sigmoid(), (-output).sigmoid()).mean(dim=-1)
