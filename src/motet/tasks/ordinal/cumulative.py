"""Probabilities of C ordered levels as the log odds of "at most k", k = 0 ... C - 2, and tempered there."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def log_odds(log_probability: Float[Tensor, "N C"]) -> Float[Tensor, "N C-1"]:
    """The logarithms of P(y <= k) / P(y > k).

    >>> log_odds(torch.tensor([[0.5, 0.25, 0.25]]).log())
    tensor([[0.0000, 1.0986]])
    """
    return _at_most(log_probability) - _more(log_probability)


def tempered(log_probability: Float[Tensor, "N C"], temperature: float) -> Float[Tensor, "N C"]:
    """The log probabilities of the levels once every log odds of "at most k" is divided by the temperature.

    A level that has half the probability below or at it still has: the median, which is the answer, stays. With a
    proportional-odds model the temperature is the scale of its noise. Dividing the log probabilities themselves, as for
    classes without an order (Guo et al., ICML 2017), would move the median. Computed without differences, as
    `OrdinalHead` does, with the gap between two neighbouring log odds
    `log(1 + P(k) / P(y < k)) + log(1 + P(k) / P(y > k))`.

    >>> tempered(torch.tensor([[0.5, 0.25, 0.25]]).log(), 2.0).exp()
    tensor([[0.5000, 0.1340, 0.3660]])
    """
    odds = log_odds(log_probability) / temperature
    inner = log_probability[:, 1:-1]
    gaps = F.softplus(inner - _at_most(log_probability)[:, :-1]) + F.softplus(inner - _more(log_probability)[:, 1:])
    below, above = F.pad(F.logsigmoid(odds), (0, 1)), F.pad(F.logsigmoid(-odds), (1, 0))
    return below + above + F.pad(torch.log(-torch.expm1(-gaps / temperature)), (1, 1))


def _at_most(log_probability: Tensor) -> Tensor:
    return log_probability.logcumsumexp(-1)[:, :-1]


def _more(log_probability: Tensor) -> Tensor:
    return log_probability.flip(-1).logcumsumexp(-1).flip(-1)[:, 1:]
