"""Products of two projections, summed in groups."""

import math
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from motet.fusion.bilinear_forms.base import Form
from motet.fusion.bilinear_forms.power import power_normalized


class MFB(Form):
    """`q = sqrt(W) n(z)`, `z_k = sum_r (U x)_kr (V y)_kr` over `rank` factors r, n the power and L2 normalisation.

    Factorised bilinear pooling: Yu et al., ICCV 2017. Deviations: sqrt(W), for W channels, without which those beside
    the linear terms would be the fainter the more they are; no dropout on the products before they are summed.

    >>> import torch
    >>> MFB(8, 4, width=16)(torch.ones(2, 8), torch.ones(2, 4)).norm(dim=1).round(decimals=1)
    tensor([4., 4.], grad_fn=<RoundBackward1>)
    """

    RANK: ClassVar[int] = 5

    def __init__(self, left_width: int, right_width: int, *, width: int, rank: int = RANK) -> None:
        super().__init__()
        self.rank = rank
        self.left = nn.Linear(left_width, width * rank, bias=False)
        self.right = nn.Linear(right_width, width * rank, bias=False)

    def forward(self, x: Float[Tensor, "B L"], y: Float[Tensor, "B R"]) -> Float[Tensor, "B W"]:
        """Project, multiply, sum, normalise."""
        z = (self.left(x) * self.right(y)).unflatten(1, (-1, self.rank)).sum(dim=2)
        return math.sqrt(z.shape[1]) * power_normalized(z)
