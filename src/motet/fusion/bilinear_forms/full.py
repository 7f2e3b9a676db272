"""Every pair of channels has a weight of its own."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from motet.fusion.bilinear_forms.base import Form


class Full(Form):
    """`q_k = x^T W_k y`: L R W weights.

    It has no rank to limit; the argument is there for the other forms.

    >>> import torch
    >>> Full(8, 4, width=16)(torch.zeros(2, 8), torch.zeros(2, 4)).shape
    torch.Size([2, 16])
    """

    RANK: ClassVar[int] = 0

    def __init__(self, left_width: int, right_width: int, *, width: int, rank: int = RANK) -> None:
        super().__init__()
        self.read = nn.Linear(left_width * right_width, width, bias=False)

    def forward(self, x: Float[Tensor, "B L"], y: Float[Tensor, "B R"]) -> Float[Tensor, "B W"]:
        """Through the outer product."""
        fused: Tensor = self.read((x[:, :, None] * y[:, None]).flatten(1))
        return fused
