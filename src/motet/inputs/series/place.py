"""How a step knows its place: by its number, or by its time. N rows, T steps, D width."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class NumberedPlaces(nn.Module):
    """A learned vector for each place in the series, counted from its first step.

    >>> NumberedPlaces(8, longest=5)(torch.zeros(2, 3)).shape
    torch.Size([3, 8])
    """

    def __init__(self, width: int, *, longest: int) -> None:
        super().__init__()
        self.places = nn.Parameter(0.02 * torch.randn(longest, width))

    def forward(self, time: Float[Tensor, "N T"]) -> Float[Tensor, "T D"]:
        """The vectors of the first T places; the times do not matter."""
        return self.places[: time.shape[1]]


class TimedPlaces(nn.Module):
    """Time2Vec (Kazemi et al., 2019; with several heads in Shukla and Marlin, ICLR 2021), added to what a step holds:

        p(t)_0 = w_0 t + b_0,        p(t)_i = sin(w_i t + b_i)        for i = 1 .. D - 1, w and b learned

    t is the time since the first step of the row. Deviations: the wave lengths start out spread geometrically, from 2
    median gaps to 2 spans of the longest training series, where both papers draw every w from one distribution, and w_0
    is 1 / span; p is scaled by a learned number, at first 0.3, and added to the step's vector as positions are, where
    Kazemi et al. give it to the model beside the step, and Shukla and Marlin attend by it alone.

    >>> TimedPlaces(8, span=10.0)(torch.zeros(2, 3)).shape
    torch.Size([2, 3, 8])
    """

    def __init__(self, width: int, *, span: float) -> None:
        super().__init__()
        lengths = torch.logspace(math.log10(2.0), math.log10(max(4.0, 2 * span)), max(1, width - 1))
        frequency = torch.cat([torch.tensor([1 / span]), 2 * math.pi / lengths])[:width]
        self.frequency = nn.Parameter(frequency)
        self.phase = nn.Parameter(torch.cat([torch.zeros(1), 2 * math.pi * torch.rand(max(1, width - 1))])[:width])
        self.scale = nn.Parameter(torch.tensor(0.3))

    def forward(self, time: Float[Tensor, "N T"]) -> Float[Tensor, "N T D"]:
        """Times, in gaps, to vectors."""
        angles = time[:, :, None] * self.frequency + self.phase
        return self.scale * torch.cat([angles[:, :, :1], angles[:, :, 1:].sin()], dim=2)
