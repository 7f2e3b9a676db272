"""How far a predicted rate is from a count: deviances, which are 0 where they agree and never less.

B rows. Rates come as the logarithm of v, so that a rate near 0 loses no digits.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def poisson(log_rate: Float[Tensor, "B"], count: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """`2 (t log(t / v) - t + v)`, twice what the log-likelihood of a Poisson distribution falls short of its best.

    Where they are near each other it is computed as `2 t (r + exp(-r) - 1)` with `r = log(t / v)`, which cancels no
    digits. It is homogeneous: of both in units of c, it is that divided by c.

    >>> poisson(torch.tensor([0.0, 0.0]), torch.tensor([0.0, 1.0]))
    tensor([2., 0.])
    """
    log_ratio = _log_or_zero(count) - log_rate
    close = log_ratio.clamp(-1, 1)
    near, far = count * (close + torch.expm1(-close)), count * (log_ratio - 1) + log_rate.exp()
    return 2 * torch.where((count > 0) & (log_ratio == close), near, far).clamp(min=0)


def negative_binomial(log_rate: Float[Tensor, "B"], count: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """`2 (t log(t / v) - (1 + t) log((1 + t) / (1 + v)))`: of a count of variance `v + v^2`.

    Of a count of variance `m + a m^2` it is, with a times the count and a times the mean, a times the deviance.

    >>> negative_binomial(torch.tensor([0.0, 0.0]), torch.tensor([0.0, 1.0]))
    tensor([1.3863, 0.0000])
    """
    log_ratio = _log_or_zero(count) - log_rate
    apart = count * log_ratio - (1 + count) * (torch.log1p(count) - F.softplus(log_rate))
    return 2 * apart.clamp(min=0)


def _log_or_zero(count: Tensor) -> Tensor:
    return torch.where(count > 0, count, 1.0).log()
