"""Joining Gaussians: streams that each state a mean and a deviation.

S streams, B rows. An output is `[B, ..., 2]`: the mean, and the deviation in raw form (`deviation_of`).
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from motet.tasks.rules.base import Opinion, PlainRule
from motet.tasks.rules.heard import beside, safe_log, shares, simplex, statements
from motet.tasks.rules.stacking import Stacking

LEAST_DEVIATION = 0.01
FAINTEST = 1e-6


class MeanOfGaussians(PlainRule):
    """The Gaussian with mean and variance of the mixture: `mu = sum w mu_m`, `s^2 = sum w (s_m^2 + (mu_m - mu)^2)`.

    Streams that disagree make the joint decision less sure (Lakshminarayanan et al., NIPS 2017).

    >>> from motet.tasks.rules import Joining
    >>> rule = MeanOfGaussians(Joining(streams=("a", "b"), width=1, shape=(2,), loss=lambda output, target: output))
    >>> there, half, one = torch.ones(1, dtype=torch.bool), torch.tensor([0.5]), raw_of(torch.tensor(1.0))
    >>> low, high = (torch.stack([torch.tensor(mean), one])[None] for mean in (-1.0, 1.0))
    >>> joint = rule({name: Opinion(said, there[:, None], there, half) for name, said in (("a", low), ("b", high))})
    >>> joint[0, 0].item(), round(deviation_of(joint[0, 1]).item() ** 2, 4)
    (0.0, 2.0)
    """

    def forward(self, opinions: Mapping[str, Opinion]) -> Tensor:
        """Mean and raw deviation `[B, ..., 2]`."""
        return mean_of_gaussians(opinions)


class ProductOfGaussians(PlainRule):
    """`N(mu_m, s_m^2)^w_m` multiplied: `1/s^2 = sum w / s_m^2` and `mu = s^2 sum w mu_m / s_m^2`, w_m their shares.

    Sure streams count more (Hinton, Neural Computation 2002). Since shares sum to 1, agreeing streams make the joint
    decision no surer than they are themselves: what they say may be the same news twice.
    """

    def forward(self, opinions: Mapping[str, Opinion]) -> Tensor:
        """Mean and raw deviation `[B, ..., 2]`."""
        if len(opinions) == 1:
            return next(iter(opinions.values())).output
        said, present = statements(opinions)
        mean, log_precision = said[..., 0], -2 * deviation_of(said[..., 1]).log()
        log_weights = beside(safe_log(shares(opinions)), mean) + log_precision
        there = present[..., 0]
        joint = (simplex(log_weights, there) * mean).sum(dim=0)
        heard = torch.where(there, log_weights, -math.inf)
        total = torch.where(there.any(dim=0), heard, 0.0).logsumexp(dim=0)
        return torch.stack([joint, raw_of((-total / 2).exp())], dim=-1)


class StackingOfGaussians(Stacking):
    """As `MeanOfGaussians`, with shares of its own."""

    def mean(self, opinions: Mapping[str, Opinion]) -> Tensor:
        """Mean and raw deviation `[B, ..., 2]`."""
        return mean_of_gaussians(opinions)


def mean_of_gaussians(opinions: Mapping[str, Opinion]) -> Tensor:
    """The moments of the mixture, by the weights of the opinions."""
    if len(opinions) == 1:
        return next(iter(opinions.values())).output
    said, _ = statements(opinions)
    mean, deviation = said[..., 0], deviation_of(said[..., 1])
    weight = beside(shares(opinions), mean)
    joint = (weight * mean).sum(dim=0)
    variance = (weight * (deviation.square() + (mean - joint).square())).sum(dim=0)
    return torch.stack([joint, raw_of(variance.clamp(min=LEAST_DEVIATION**2).sqrt())], dim=-1)


def deviation_of(raw: Tensor) -> Tensor:
    """`s = 0.01 + softplus(r)`."""
    return LEAST_DEVIATION + F.softplus(raw)


def raw_of(deviation: Tensor) -> Tensor:
    """The raw form r of a deviation, finite for any.

    >>> deviation_of(raw_of(torch.tensor([0.5, 30.0])))
    tensor([ 0.5000, 30.0000])
    """
    above = (deviation - LEAST_DEVIATION).clamp(min=FAINTEST)
    return above + torch.log(-torch.expm1(-above))
