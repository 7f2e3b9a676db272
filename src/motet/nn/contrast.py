"""What pairs of a batch cost: each row's two sides are held against those of all others.

n rows; `logits[i, j]` is how well the first side of row i goes with the second of row j, and `same[i, j]` whether the
two rows are about the same item. Each loss is `[n]`, a row's own share; it is 0 at best.
"""

import math
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

LARGEST = math.log(100)
"""The log of the largest scale, as CLIP has it."""
STARTS = MappingProxyType({"infonce": (math.log(1 / 0.07), None), "sigmoid": (math.log(10), -10.0)})
"""The log of the scale and the bias before training, as the papers have them."""


def infonce(logits: Float[Tensor, "n n"], same: Bool[Tensor, "n n"]) -> Float[Tensor, "n"]:
    """`1/2 (KL(q_i || softmax_j z_ij) + KL(q_i || softmax_j z_ji))`, q_i uniform over the rows of the same item.

    It is CLIP's symmetric cross-entropy (Radford et al., ICML 2021) with several positives as in SupCon (Khosla et al.,
    NeurIPS 2020, its L_out): the mean of the log-probabilities over the positives, here the row itself among them.
    Deviation: the entropy of q_i, which no model can get below, is subtracted; the gradient is the same.

    >>> infonce(torch.tensor([[50.0, 0.0], [0.0, 50.0]]), torch.eye(2, dtype=torch.bool)).abs()
    tensor([0., 0.])
    """
    return (_divergence(logits, same) + _divergence(logits.T, same.T)) / 2


def sigmoid(logits: Float[Tensor, "n n"], same: Bool[Tensor, "n n"]) -> Float[Tensor, "n"]:
    """`-1/2 sum_j (log s(y_ij z_ij) + log s(y_ji z_ji))`, y 1 for the same item, else -1, s the logistic function.

    The mean over rows is SigLIP's loss (Zhai et al., ICCV 2023), a pair's part going half to either row. Deviation: all
    rows of one item are positives of each other, not each row of itself alone.

    >>> sigmoid(torch.zeros(2, 2), torch.eye(2, dtype=torch.bool)).exp()
    tensor([4., 4.])
    """
    losses = F.softplus(torch.where(same, -logits, logits))
    return (losses.sum(dim=1) + losses.sum(dim=0)) / 2


def _divergence(logits: Float[Tensor, "n n"], same: Bool[Tensor, "n n"]) -> Float[Tensor, "n"]:
    count = same.sum(dim=1).to(logits.dtype)
    likely = torch.where(same, logits.log_softmax(dim=1), 0.0).sum(dim=1)
    return (-likely / count - count.log()).clamp(min=0)
