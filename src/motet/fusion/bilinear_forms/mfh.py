"""A cascade of factorised products, each multiplied into the next."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from motet.fusion.bilinear_forms.base import Form
from motet.fusion.bilinear_forms.power import power_normalized

ORDERS = 2


class MFH(Form):
    """`q = P [n(sum_r e_1); n(sum_r e_2)]`, `e_i = e_(i-1) * (U_i x) * (V_i y)`, `e_0 = 1`, n and sum as in MFB.

    The second order has products of four factors, two of each input. Yu et al., TNNLS 2018. Deviations: no dropout on
    the products, and P, which there belongs to the classifier.

    >>> import torch
    >>> MFH(8, 4, width=16)(torch.zeros(2, 8), torch.zeros(2, 4)).shape
    torch.Size([2, 16])
    """

    RANK: ClassVar[int] = 5

    def __init__(self, left_width: int, right_width: int, *, width: int, rank: int = RANK) -> None:
        super().__init__()
        self.rank = rank
        self.left = nn.ModuleList(nn.Linear(left_width, width * rank, bias=False) for _ in range(ORDERS))
        self.right = nn.ModuleList(nn.Linear(right_width, width * rank, bias=False) for _ in range(ORDERS))
        self.read = nn.Linear(ORDERS * width, width, bias=False)

    def forward(self, x: Float[Tensor, "B L"], y: Float[Tensor, "B R"]) -> Float[Tensor, "B W"]:
        """Each order normalised by itself."""
        product, pooled = x.new_ones(()), []
        for left, right in zip(self.left, self.right, strict=True):
            product = product * left(x) * right(y)
            pooled.append(power_normalized(product.unflatten(1, (-1, self.rank)).sum(dim=2)))
        fused: Tensor = self.read(torch.cat(pooled, dim=1))
        return fused
