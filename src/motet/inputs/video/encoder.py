"""A CNN on each frame, then a transformer over time; tokens are frames. N clips, K frames, D width, h, w of a map."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from motet.core.flow import Tokens
from motet.inputs.bag import THERE, BagEncoder
from motet.inputs.base import Encoder
from motet.inputs.image import ImageEncoder
from motet.nn import Transformer, hide


class VideoEncoder(Encoder):
    """`Transformer(x_1 .. x_K)`, x_k the mean over the cells of an `ImageEncoder`'s map of frame k.

    Attention over the frames of a 2D network: Neimark et al., Video Transformer Network, ICCV Workshops 2021.
    Deviations: attention is over all frames and not over windows, frames know their place by a learned vector, and each
    is a token of its own where the paper reads a class token. Only frames that are there are encoded.

    >>> encoder = VideoEncoder(size=(8, 8), channels=1, first=4, width=8, num_frames=3, layers=1, heads=2, dropout=0.0)
    >>> there = torch.tensor([[True, True, True], [True, False, False]])
    >>> encoder({"pixels": torch.zeros(2, 3, 1, 8, 8), "there": there}).values.shape
    torch.Size([2, 3, 8])
    """

    def __init__(
        self,
        *,
        size: tuple[int, int],
        channels: int,
        first: int,
        width: int,
        num_frames: int,
        layers: int,
        heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.output_width = width
        frame = ImageEncoder(size=size, channels=channels, first=first, width=width, dropout=dropout)
        assert frame.output_grid is not None
        self.cells = math.prod(frame.output_grid)
        self.frames = BagEncoder(frame)
        self.time = Transformer(width, layers=layers, heads=heads, longest=num_frames, dropout=dropout)

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`pixels [N, K, C, H, W]`, `there [N, K]` -> `[N, K, D]`."""
        there: Bool[Tensor, "N K"] = values[THERE]
        cells = self.frames({"pixels": values["pixels"], THERE: there}).values
        x: Float[Tensor, "N K D"] = cells.unflatten(1, (there.shape[1], self.cells)).mean(dim=2)
        return Tokens(hide(self.time(x, there), there), there, torch.any(there, dim=1))
