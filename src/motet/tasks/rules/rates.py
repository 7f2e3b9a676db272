"""Joining rates: streams that each say how much is to be expected, as a logarithm.

S streams, B rows. An output z `[B]` stands for the rate `exp(z)`, continued by a straight line from z = 10 on, so that
rate and gradient stay finite for any z.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from motet.tasks.rules.base import Opinion, PlainRule
from motet.tasks.rules.heard import beside, safe_log, shares, statements
from motet.tasks.rules.stacking import Stacking

STRAIGHT_FROM = 10.0


class MeanOfRates(PlainRule):
    """The weighted mean of the rates, `sum_s w_s rate(z_s)`.

    >>> from motet.tasks.rules import Joining
    >>> rule = MeanOfRates(Joining(streams=("a", "b"), width=1, shape=(), loss=lambda output, target: output))
    >>> there, half = torch.ones(1, dtype=torch.bool), torch.tensor([0.5])
    >>> one, three = (Opinion(torch.tensor([rate]).log(), there[:, None], there, half) for rate in (1.0, 3.0))
    >>> rule({"a": one, "b": three}).exp()
    tensor([2.0000])
    """

    def forward(self, opinions: Mapping[str, Opinion]) -> Tensor:
        """The output `[B]` of that rate."""
        return mean_of_rates(opinions)


class StackingOfRates(Stacking):
    """As `MeanOfRates`, with shares of its own."""

    def mean(self, opinions: Mapping[str, Opinion]) -> Tensor:
        """The output `[B]` of that rate."""
        return mean_of_rates(opinions)


def mean_of_rates(opinions: Mapping[str, Opinion]) -> Tensor:
    """The mean by the weights of the opinions; 0 in a row without any."""
    if len(opinions) == 1:
        return next(iter(opinions.values())).output
    said, present = statements(opinions)
    parts = torch.where(present, beside(safe_log(shares(opinions)), said) + log_rate_of(said), -math.inf)
    return output_of(torch.where(present.any(dim=0), parts, 0.0).logsumexp(dim=0))


def rate_of(output: Tensor) -> Tensor:
    """`exp(z)` up to z = 10, `exp(10) (z - 9)` beyond.

    >>> rate_of(torch.tensor([0.0, 10.0, 12.0])).round()
    tensor([1.0000e+00, 2.2026e+04, 6.6079e+04])
    """
    return output.clamp(max=STRAIGHT_FROM).exp() * (1 + (output - STRAIGHT_FROM).relu())


def log_rate_of(output: Tensor) -> Tensor:
    """The logarithm of the rate, finite where the rate itself would be 0."""
    return output.clamp(max=STRAIGHT_FROM) + torch.log1p((output - STRAIGHT_FROM).relu())


def output_of(log_rate: Tensor) -> Tensor:
    """The output with this logarithm of the rate: `log_rate_of` undone."""
    return log_rate.clamp(max=STRAIGHT_FROM) + torch.expm1((log_rate - STRAIGHT_FROM).relu())
