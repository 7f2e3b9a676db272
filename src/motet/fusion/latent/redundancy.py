"""Two views of the same rows that are to agree, without the rows being told apart. n rows, W channels."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0
LEAST_VARIANCE, LEAST_NORM = 1e-4, 1e-5
REDUNDANCY = 5e-3


def vicreg(a: Float[Tensor, "n W"], b: Float[Tensor, "n W"]) -> Float[Tensor, ""]:
    """`s(a, b) + 1/2 (v(a) + v(b)) + 1/25 (c(a) + c(b))` (Bardes, Ponce & LeCun, VICReg, ICLR 2022).

    s is the mean squared difference, v the mean over channels of `max(0, 1 - sqrt(var + 1e-4))`, c the sum of the
    squared covariances of different channels, over W. As in the authors' code s is a mean over channels too and v
    halved, which the paper has not; deviation: the coefficients 25, 25 and 1 are all divided by 25.

    >>> vicreg(torch.tensor([[2.0, 2.0], [-2.0, 2.0], [2.0, -2.0], [-2.0, -2.0]]), torch.zeros(4, 2)).item() > 4
    True
    """
    each = [_variance(one) * VARIANCE / 2 + _covariance(one) * COVARIANCE for one in (a, b)]
    return (INVARIANCE * F.mse_loss(a, b) + torch.stack(each).sum()) / INVARIANCE


def barlow(a: Float[Tensor, "n W"], b: Float[Tensor, "n W"]) -> Float[Tensor, ""]:
    """`(sum_i (1 - C_ii)^2 + 0.005 sum_{i != j} C_ij^2) / W`, C the correlations of a's channels with b's.

    Zbontar et al., Barlow Twins, ICML 2021. Deviations: divided by W, so that its size is that of one channel; and
    variances have 1e-5 added, so that a channel that does not vary has correlation 0.

    >>> barlow(torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0], [-1.0]])).item() < 1e-8
    True
    """
    c = (_standard(a).T @ _standard(b)) / len(a)
    on = (1 - c.diagonal()).square().sum()
    off = c.square().sum() - c.diagonal().square().sum()
    return (on + REDUNDANCY * off) / c.shape[0]


def _variance(x: Tensor) -> Tensor:
    return F.relu(1 - (_covariances(x).diagonal() + LEAST_VARIANCE).sqrt()).mean()


def _covariance(x: Tensor) -> Tensor:
    squares = _covariances(x).square()
    return (squares.sum() - squares.diagonal().sum()) / x.shape[1]


def _covariances(x: Tensor) -> Tensor:
    centred = x - x.mean(dim=0)
    return centred.T @ centred / max(1, len(x) - 1)


def _standard(x: Tensor) -> Tensor:
    centred = x - x.mean(dim=0)
    return centred / (centred.square().mean(dim=0) + LEAST_NORM).sqrt()
