"""The number that speaks for an answer: what contributions and saliency share out."""

import torch
from torch import Tensor

from motet.model.explain import Worth
from motet.tasks import (
    BinaryCodec,
    Codec,
    CountCodec,
    GaussianCodec,
    MulticlassCodec,
    MultilabelCodec,
    OrdinalCodec,
    QuantileCodec,
    RankingCodec,
    RegressionCodec,
    SurvivalCodec,
)
from motet.tasks.ordinal import median_level
from motet.tasks.rules.rates import rate_of


def worth_of(codec: Codec) -> Worth | None:
    """Of a class the probability of what is answered, of a set of labels that of what is said of a label, in the mean;
    a number in the user's units; a score or a log hazard. None where no one number speaks for the answer: several
    numbers, and whatever is about parts or is written.

    >>> from motet.tasks import Binary
    >>> worth_of(Binary().fit(["no", "yes"]))(torch.tensor([0.0]), torch.tensor([-3.0]))
    tensor([0.5000])
    """
    if isinstance(codec, BinaryCodec):
        return _of_label
    if isinstance(codec, MultilabelCodec):
        return lambda output, answered: _of_label(output, answered).mean(dim=-1)
    if isinstance(codec, MulticlassCodec):
        return lambda output, answered: _of_class(output, answered.argmax(dim=-1))
    if isinstance(codec, OrdinalCodec):
        return lambda output, answered: _of_class(output, _level(answered))
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


def _of_label(output: Tensor, answered: Tensor) -> Tensor:
    return torch.where(answered > 0, output.sigmoid(), (-output).sigmoid())


def _of_class(output: Tensor, number: Tensor) -> Tensor:
    return output.softmax(dim=-1).gather(1, number[:, None])[:, 0]


def _level(answered: Tensor) -> Tensor:
    probability = answered.detach().double().softmax(dim=-1).cpu().numpy()
    return torch.from_numpy(median_level(probability)).to(answered.device)
