"""Joining the decisions of several streams into one: the weighted mean of what each says.

B rows, C classes, S streams. Weights of a row sum to 1; whatever a stream of weight 0 holds does not count.
Streams are taken in the order of their names, so that the order of the mapping changes nothing.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def mean_value(
    outputs: Mapping[str, Float[Tensor, "B ..."]], weights: Mapping[str, Float[Tensor, "B"]]
) -> Float[Tensor, "B ..."]:
    """The weighted mean, sum_s w_s y_s.

    >>> outputs = {"a": torch.tensor([1.0]), "b": torch.tensor([3.0])}
    >>> mean_value(outputs, {"a": torch.tensor([0.25]), "b": torch.tensor([0.75])})
    tensor([2.5000])
    """
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    output, weight = _stacked(outputs, weights)
    return (weight * output).sum(0)


def mean_of_classes(
    outputs: Mapping[str, Float[Tensor, "B C"]], weights: Mapping[str, Float[Tensor, "B"]]
) -> Float[Tensor, "B C"]:
    """The log of sum_s w_s softmax(z_s): logits whose softmax is the mean probability, finite for any finite z."""
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    output, weight = _stacked(outputs, weights)
    return _log_mean(F.log_softmax(output, dim=-1), weight)


def mean_of_logits(
    outputs: Mapping[str, Float[Tensor, "B ..."]], weights: Mapping[str, Float[Tensor, "B"]]
) -> Float[Tensor, "B ..."]:
    """The logit of sum_s w_s sigmoid(z_s), as log p - log(1 - p), both in log space: finite for any finite z.

    >>> outputs = {"a": torch.tensor([0.0]), "b": torch.tensor([0.0])}
    >>> mean_of_logits(outputs, {"a": torch.tensor([0.5]), "b": torch.tensor([0.5])})
    tensor([0.])
    """
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    output, weight = _stacked(outputs, weights)
    return _log_mean(F.logsigmoid(output), weight) - _log_mean(F.logsigmoid(-output), weight)


def _stacked(outputs: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Outputs `[S, B, ...]`, with 0 where the weight is 0, and weights `[S, B, 1...]` that broadcast to them.

    In float32, or in float64 where they are that.
    """
    names = sorted(outputs)
    output = torch.stack([outputs[name] for name in names])
    output = output.to(torch.promote_types(output.dtype, torch.float32))
    weight = torch.stack([weights[name].to(output.dtype) for name in names])
    weight = weight.reshape(*weight.shape, *[1] * (output.ndim - 2))
    return torch.where(weight > 0, output, 0.0), weight


def _log_mean(log_probability: Tensor, weight: Tensor) -> Tensor:
    # log 0 is left out by hand: its gradient is infinite, and infinity times zero is NaN.
    counts = weight > 0
    log_weight = torch.where(counts, torch.where(counts, weight, 1.0).log(), -torch.inf)
    return torch.logsumexp(log_weight + log_probability, dim=0)
