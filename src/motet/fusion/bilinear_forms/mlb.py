"""Products of two projections, channel by channel."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from motet.fusion.bilinear_forms.base import Form


class MLB(Form):
    """`q = P (tanh(U x) * tanh(V y))`, the common space `rank` wide.

    Low-rank bilinear pooling: Kim et al., ICLR 2017.

    >>> import torch
    >>> MLB(8, 4, width=16)(torch.zeros(2, 8), torch.zeros(2, 4)).shape
    torch.Size([2, 16])
    """

    RANK: ClassVar[int] = 1200

    def __init__(self, left_width: int, right_width: int, *, width: int, rank: int = RANK) -> None:
        super().__init__()
        self.left = nn.Linear(left_width, rank, bias=False)
        self.right = nn.Linear(right_width, rank, bias=False)
        self.read = nn.Linear(rank, width, bias=False)

    def forward(self, x: Float[Tensor, "B L"], y: Float[Tensor, "B R"]) -> Float[Tensor, "B W"]:
        """Project, multiply, read."""
        fused: Tensor = self.read(self.left(x).tanh() * self.right(y).tanh())
        return fused
