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
SIZE = 16


class BLOCK(Form):
    """`q = W_o [n(z_1); ...; n(z_C)]`, `z_c = sum_r (M_cr x~_c) * (N_cr y~_c)`, x~_c the c-th chunk of `W_x x`.

    The sum is over `rank` terms r, n the power and L2 normalisation of one chunk. Ben-younes et al., AAAI 2019: 20
    chunks. Deviation: each has 16 channels, there 80.

    >>> import torch
    >>> BLOCK(8, 4, width=16)(torch.zeros(2, 8), torch.zeros(2, 4)).shape
    torch.Size([2, 16])
    """

    RANK: ClassVar[int] = 15

    def __init__(self, left_width: int, right_width: int, *, width: int, rank: int = RANK) -> None:
        super().__init__()
        self.rank = rank
        self.left = nn.Linear(left_width, CHUNKS * SIZE, bias=False)
        self.right = nn.Linear(right_width, CHUNKS * SIZE, bias=False)
        self.left_core, self.right_core = _core(rank), _core(rank)
        self.read = nn.Linear(CHUNKS * SIZE, width, bias=False)

    def forward(self, x: Float[Tensor, "B L"], y: Float[Tensor, "B R"]) -> Float[Tensor, "B W"]:
        """Chunk by chunk, then all of them together."""
        terms = (_in_chunks(self.left(x)) @ self.left_core) * (_in_chunks(self.right(y)) @ self.right_core)
        chunks = power_normalized(terms.reshape(CHUNKS, -1, self.rank, SIZE).sum(dim=2))
        fused: Tensor = self.read(chunks.transpose(0, 1).flatten(1))
        return fused


def _core(rank: int) -> nn.Parameter:
    """`[C, S, R S]`, each chunk as a linear layer begins."""
    bound = 1 / math.sqrt(SIZE)
    return nn.Parameter(torch.empty(CHUNKS, SIZE, rank * SIZE).uniform_(-bound, bound))


def _in_chunks(x: Float[Tensor, "B C*S"]) -> Float[Tensor, "C B S"]:
    return x.reshape(-1, CHUNKS, SIZE).transpose(0, 1)
