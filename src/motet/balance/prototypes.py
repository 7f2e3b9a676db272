"""The mean of each class, kept from epoch to epoch: a classifier without parameters.

B rows of a batch, C classes, D width.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn


class Prototypes(nn.Module):
    """`p(y = k | z) = softmax_k(-|z - c_k|)`, c_k being the mean of the vectors of class k (Snell et al., NIPS 2017).

    c_k settles at the end of each epoch: `c_k <- momentum c_k + (1 - momentum) mean of this epoch`, the first time the
    mean itself; a class without a row in the epoch keeps its own. Until a class has settled for the first time, c_k is
    the mean of what came so far. A class never seen has no probability.

    >>> prototypes = Prototypes(classes=2, width=1)
    >>> rows = torch.tensor([True, True, True])
    >>> prototypes.add(torch.tensor([[0.0], [2.0], [5.0]]), torch.tensor([0, 0, 1]), rows)
    >>> log_probability, counted = prototypes(torch.tensor([[1.0]]), torch.tensor([0]), rows[:1])
    >>> log_probability.exp().round(decimals=3), counted
    (tensor([[0.9820, 0.0180]]), tensor([True]))
    """

    centres: Tensor
    settled: Tensor
    sums: Tensor
    counts: Tensor

    def __init__(self, *, classes: int, width: int, momentum: float = 0.5) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("centres", torch.zeros(classes, width))
        self.register_buffer("settled", torch.zeros(classes, dtype=torch.bool))
        self.register_buffer("sums", torch.zeros(classes, width, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(classes, dtype=torch.float64))

    def forward(
        self, z: Float[Tensor, "B D"], labels: Int64[Tensor, "B"], rows: Bool[Tensor, "B"]
    ) -> tuple[Float[Tensor, "B C"], Bool[Tensor, "B"]]:
        """`log p` of every class for every row, and which of `rows` count: those whose class has a prototype.

        In float32, or in float64 where the vectors or the prototypes are that.
        What stands in the other rows, NaN included, changes nothing and gets no gradient.
        """
        known = self.settled | (self.counts > 0)
        wide = torch.promote_types(torch.promote_types(z.dtype, self.centres.dtype), torch.float32)
        centres = torch.where(self.settled[:, None], self.centres.to(wide), self._means().to(wide))
        counted = rows & self._valid(labels)
        counted = counted & known[self._safe(labels)]
        z = torch.where(counted[:, None], z.to(wide), 0.0)
        distances = torch.cdist(z, centres, compute_mode="donot_use_mm_for_euclid_dist")
        return F.log_softmax(torch.where(known | ~known.any(), -distances, -torch.inf), dim=1), counted

    @torch.no_grad()
    def add(self, z: Float[Tensor, "B D"], labels: Int64[Tensor, "B"], rows: Bool[Tensor, "B"]) -> None:
        """Take in the vectors of these rows."""
        rows = rows & self._valid(labels) & z.isfinite().all(dim=1)
        member = F.one_hot(self._safe(labels), len(self.counts)).double() * rows[:, None]
        self.sums += member.T @ torch.where(rows[:, None], z.double(), 0.0)
        self.counts += member.sum(dim=0)

    @torch.no_grad()
    def settle(self) -> None:
        """The epoch is over."""
        fresh, means = self.counts > 0, self._means().to(self.centres)
        moved = torch.where(self.settled[:, None], self.momentum * self.centres + (1 - self.momentum) * means, means)
        self.centres.copy_(torch.where(fresh[:, None], moved, self.centres))
        self.settled |= fresh
        self.sums.zero_()
        self.counts.zero_()

    def _means(self) -> Float[Tensor, "C D"]:
        return self.sums / self.counts.clamp(min=1)[:, None]

    def _valid(self, labels: Int64[Tensor, "B"]) -> Bool[Tensor, "B"]:
        return (labels >= 0) & (labels < len(self.counts))

    def _safe(self, labels: Int64[Tensor, "B"]) -> Int64[Tensor, "B"]:
        return labels.clamp(0, len(self.counts) - 1)


def entropy(log_probability: Float[Tensor, "B C"]) -> Float[Tensor, "B"]:
    """`-sum_k p_k log p_k`; classes of probability 0 add nothing, to the gradient neither.

    >>> entropy(torch.tensor([[0.5, 0.5, 0.0]]).log()).exp()
    tensor([2.])
    """
    finite = torch.where(log_probability.isfinite(), log_probability, 0.0)
    return -(log_probability.exp() * finite).sum(dim=1)
