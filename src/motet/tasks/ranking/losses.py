"""Losses of scores within groups of rows.

N rows, G groups, M rows in the largest one.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

NOWHERE = -1e30
"""The score of a place where no row is: its exponential is 0, and no difference to it is infinite."""


def pairwise(score: Float[Tensor, "N"], relevance: Float[Tensor, "N"], group: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
    """For each row of a group `mean over its i, j with r_i > r_j of log(1 + exp(s_j - s_i))`; 0 where there are none.

    Burges et al., Learning to Rank using Gradient Descent, ICML 2005 (RankNet), with sigma = 1, and target
    probabilities of 1 for pairs in order; of rows equally relevant nothing is asked. RankNet adds up pairs; here their
    mean counts, so that a group counts by its rows, not by their square.

    >>> pairwise(torch.tensor([0.0, 0.0, 5.0]), torch.tensor([1.0, 0.0, 1.0]), torch.tensor([1.0, 1.0, 2.0]))
    tensor([0.6931, 0.6931, 0.0000])
    """
    return _in_groups(_pairs, score, relevance, group)


def listwise(score: Float[Tensor, "N"], relevance: Float[Tensor, "N"], group: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
    """`sum_i p_i (log p_i - log q_i)` over a group, p = softmax(r) and q = softmax(s), for each row of the group.

    Cao et al., Learning to Rank: From Pairwise Approach to Listwise Approach, ICML 2007 (ListNet, by the probabilities
    of coming first). The authors' cross-entropy is larger by the entropy of p, on which no score depends.

    >>> listwise(torch.tensor([3.0, 2.0]), torch.tensor([1.0, 0.0]), torch.tensor([7.0, 7.0]))
    tensor([0., 0.])
    """
    return _in_groups(_first, score, relevance, group)


def _in_groups(
    of_lists: Callable[[Tensor, Tensor, Tensor], Float[Tensor, "G"]], score: Tensor, relevance: Tensor, group: Tensor
) -> Float[Tensor, "N"]:
    """What `of_lists(score, relevance, mask)`, each `[G, M]`, says of the groups, at each of their rows."""
    if len(score) == 0:
        return score
    number, counts = torch.unique(group, return_inverse=True, return_counts=True)[1:]
    doublings = counts[number].log2().ceil()  # groups of a size are padded together, so that a large one costs itself
    losses = torch.zeros_like(score)
    for size in torch.unique(doublings):
        own = torch.nonzero(doublings == size).flatten()
        rows, mask, place = _places(group[own])
        found = of_lists(score[own][rows], relevance[own].to(score.dtype)[rows], mask)
        losses = losses.index_put((own,), found[place])
    return losses


def _places(
    group: Float[Tensor, "N"],
) -> tuple[Int64[Tensor, "G M"], Bool[Tensor, "G M"], Int64[Tensor, "N"]]:
    """The rows of each group, padded by row 0; where there is one; and the number of each row's group."""
    number, counts = torch.unique(group, return_inverse=True, return_counts=True)[1:]
    mask = torch.arange(int(counts.max()), device=group.device) < counts[:, None]
    rows = torch.zeros(mask.shape, dtype=torch.int64, device=group.device)
    rows[mask] = number.argsort(stable=True)
    return rows, mask, number


def _pairs(score: Tensor, relevance: Tensor, mask: Tensor) -> Tensor:
    ordered = (relevance[:, :, None] > relevance[:, None, :]) & mask[:, :, None] & mask[:, None, :]
    losses = F.softplus(score[:, None, :] - score[:, :, None])
    num_pairs = ordered.sum(dim=(1, 2))
    return torch.where(ordered, losses, 0.0).sum(dim=(1, 2)) / num_pairs.clamp(min=1)


def _first(score: Tensor, relevance: Tensor, mask: Tensor) -> Tensor:
    wanted = torch.where(mask, relevance, NOWHERE).log_softmax(dim=1)
    found = torch.where(mask, score, NOWHERE).log_softmax(dim=1)
    return (wanted.exp() * (wanted - found)).sum(dim=1)
