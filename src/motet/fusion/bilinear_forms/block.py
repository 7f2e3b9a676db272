"""A core of blocks on the superdiagonal: chunks of one input meet chunks of the other.

C chunks of S channels, B rows.
"""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from motet.fusion.bilinear_forms.base import Form
from motet.fusion.bilinear_forms.power import power_normalized

CHUNKS = 20
SMALLEST = 4


class BLOCK(Form):
    """`q = W_o [n(z_1); ...; n(z_C)]`, `z_c = sum_r (M_cr x~_c) * (N_cr y~_c)`, x~_c the c-th chunk of `W_x x`.

    The sum is over `rank` terms r, n the power and L2 normalisation of one chunk. Ben-younes et al., AAAI 2019: 20
    chunks. Deviations: all chunks together are about as wide as the result, and there are fewer where it is narrow,
    so that each has 4 channels or more: of a single one n would leave the sign.

    >>> import torch
    >>> block = BLOCK(8, 4, width=128)
    >>> block.left_core.shape, block(torch.zeros(2, 8), torch.zeros(2, 4)).shape
    (torch.Size([20, 7, 105]), torch.Size([2, 128]))
    """

    RANK: ClassVar[int] = 15

    def __init__(self, left_width: int, right_width: int, *, width: int, rank: int = RANK) -> None:
        super().__init__()
        self.rank = rank
        self.chunks = min(CHUNKS, max(1, width // SMALLEST))
        size = math.ceil(width / self.chunks)
        self.left = nn.Linear(left_width, self.chunks * size, bias=False)
        self.right = nn.Linear(right_width, self.chunks * size, bias=False)
        self.left_core = _core(self.chunks, size, rank)
        self.right_core = _core(self.chunks, size, rank)
        self.read = nn.Linear(self.chunks * size, width, bias=False)

    def forward(self, x: Float[Tensor, "B L"], y: Float[Tensor, "B R"]) -> Float[Tensor, "B W"]:
        """Chunk by chunk, then all of them together."""
        terms = self._in_chunks(self.left(x)) @ self.left_core * (self._in_chunks(self.right(y)) @ self.right_core)
        chunks = power_normalized(terms.unflatten(2, (self.rank, -1)).sum(dim=2))
        fused: Tensor = self.read(chunks.transpose(0, 1).flatten(1))
        return fused

    def _in_chunks(self, x: Float[Tensor, "B N"]) -> Float[Tensor, "C B S"]:
        return x.unflatten(1, (self.chunks, -1)).transpose(0, 1)


def _core(chunks: int, size: int, rank: int) -> nn.Parameter:
    """`[C, S, R S]`, each chunk as a linear layer begins."""
    bound = 1 / math.sqrt(size)
    return nn.Parameter(torch.empty(chunks, size, rank * size).uniform_(-bound, bound))
