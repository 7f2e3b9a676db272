"""A Tucker decomposition whose core has slices of low rank."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from motet.fusion.bilinear_forms.base import Form


class MUTAN(Form):
    """`q = W_o sum_r (M_r x~) * (N_r y~)`, `x~ = tanh(W_x x)`, `y~ = tanh(W_y y)`, over `rank` terms r.

    Ben-younes et al., ICCV 2017. Deviation: x~, y~ and the sum are all as wide as the result. The published rank is
    that of the model with attention; without it is 10.

    >>> import torch
    >>> MUTAN(8, 4, width=16)(torch.zeros(2, 8), torch.zeros(2, 4)).shape
    torch.Size([2, 16])
    """

    RANK: ClassVar[int] = 5

    def __init__(self, left_width: int, right_width: int, *, width: int, rank: int = RANK) -> None:
        super().__init__()
        self.rank = rank
        self.left = nn.Linear(left_width, width, bias=False)
        self.right = nn.Linear(right_width, width, bias=False)
        self.left_core = nn.Linear(width, rank * width, bias=False)
        self.right_core = nn.Linear(width, rank * width, bias=False)
        self.read = nn.Linear(width, width, bias=False)

    def forward(self, x: Float[Tensor, "B L"], y: Float[Tensor, "B R"]) -> Float[Tensor, "B W"]:
        """Narrow, meet in the core, read."""
        terms = self.left_core(self.left(x).tanh()) * self.right_core(self.right(y).tanh())
        fused: Tensor = self.read(terms.unflatten(1, (self.rank, -1)).sum(dim=1))
        return fused
