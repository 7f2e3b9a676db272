"""Opinions as Dirichlet distributions: Dempster's combination, and the loss of one opinion, in the logarithm of alpha.

S streams, C classes; alpha = evidence + 1, so log alpha is 0 where there is no evidence.
Everything is written so that large evidence neither overflows nor cancels.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LARGE = 12.0
"""From here on, as a logarithm, the leading terms of the gamma function and its kin are exact to 1e-5."""


def combined(log_alpha: Float[Tensor, "S *rest C"]) -> Float[Tensor, "*rest C"]:
    """Dempster's combination of all streams: log alpha of the joint opinion.

    Pairwise it is `b = (b1 b2 + b1 u2 + b2 u1) / (1 - conflict)`, `u = u1 u2 / (1 - conflict)`, with belief b = e / sum
    alpha and uncertainty u = C / sum alpha. Commonalities b + u multiply, and so for any number of opinions and in any
    order `1 + e_k / C = prod_s (1 + e_sk / C)`. One without evidence is a factor of exactly 1.

    >>> combined(torch.tensor([[3.0, 1.0], [2.0, 1.0]]).log()).exp()  # 1 + 2 (2 * 1.5 - 1)
    tensor([5., 1.])
    """
    num_classes = log_alpha.shape[-1]
    rest = 1 - 1 / num_classes
    factors = log_alpha + torch.log1p(rest * torch.expm1(-log_alpha))
    total = factors.sum(dim=0)
    return total + torch.log1p((1 - num_classes) * torch.expm1(-total))


def opinion_loss(
    log_alpha: Float[Tensor, "*rest C"], label: Bool[Tensor, "*rest C"], divergence_weight: Float[Tensor, ""]
) -> Float[Tensor, "*rest"]:
    """`digamma(sum alpha) - digamma(alpha_y) + l KL(Dir(alpha~) || Dir(1))`, alpha~ being alpha, but 1 at the label y.

    The expected cross-entropy, and what pulls misleading evidence down to none (Sensoy et al., NeurIPS 2018).
    """
    total = log_alpha.logsumexp(dim=-1)
    fit = _digamma(total) - torch.where(label, _digamma(log_alpha), 0.0).sum(dim=-1)
    return (fit + divergence_weight * divergence(torch.where(label, 0.0, log_alpha))).to(log_alpha.dtype)


def divergence(log_alpha: Float[Tensor, "*rest C"]) -> Float[Tensor, "*rest"]:
    """KL(Dir(alpha) || Dir(1)), in float64.

    >>> round(float(divergence(torch.tensor([2.0, 1.0]).log())), 4)  # log 2 - 1/2
    0.1931
    """
    log_alpha, num_classes = log_alpha.double(), log_alpha.shape[-1]
    total = log_alpha.logsumexp(dim=-1)
    # of each alpha: (a - 1) digamma(a) - lgamma(a) - a, which grows like -1/2 log a
    low, above = _parted(log_alpha)
    parts = (low - 1) * torch.digamma(low) - torch.lgamma(low) - low - above / 2
    # of their sum: lgamma(s) - (s - C) digamma(s) + s, which grows like (C - 1/2) log s; a and s cancel
    low, above = _parted(total)
    whole = torch.lgamma(low) - (low - num_classes) * torch.digamma(low) + low + (num_classes - 0.5) * above
    return parts.sum(dim=-1) + whole - torch.lgamma(low.new_tensor(num_classes))


def _digamma(log_value: Tensor) -> Tensor:
    low, above = _parted(log_value.double())
    return torch.digamma(low) + above


def _parted(log_value: Tensor) -> tuple[Tensor, Tensor]:
    """The value, as far as it is not large, and by how much its logarithm is beyond that."""
    low = log_value.clamp(max=LARGE)
    return low.exp(), log_value - low
