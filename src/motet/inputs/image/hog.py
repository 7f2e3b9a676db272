"""Histograms of oriented gradients: what a picture's edges are like, place by place, before anything is learned.

Shapes: C, H, W of the picture; h, w of the map of blocks; D width.
"""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from motet.core.component import ComponentSpec
from motet.core.flow import Tokens
from motet.inputs.base import Encoder
from motet.nn import Dropout

BLOCK = 2  # cells, on each side
CLIP = 0.2
EPSILON = 1e-5
FAINTEST = 1e-6  # below it the root of a squared gradient has no derivative to speak of


class HistogramLayers(ComponentSpec):
    """Histograms of oriented gradients, with nothing learned but a linear map: for few pictures of clear shapes.

    >>> HistogramLayers(cell=4).build(size=(16, 16), deviation=(60.0,), width=8, dropout=0.0).output_grid
    (3, 3)
    """

    kind: Literal["hog"] = "hog"
    paper: ClassVar[str] = "Dalal & Triggs, Histograms of Oriented Gradients for Human Detection, CVPR 2005"
    cell: int = Field(default=8, ge=2, description="Pixels on each side of a cell, which has one histogram.")
    bins: int = Field(default=9, ge=2, description="Orientations from 0 to below 180 degrees.")

    def build(
        self, *, size: tuple[int, int], deviation: Sequence[float], width: int, dropout: float
    ) -> "HistogramEncoder":
        """An encoder of pictures of this size, which were divided by `deviation`, channel by channel."""
        return HistogramEncoder(
            size=size, cell=self.cell, bins=self.bins, deviation=deviation, width=width, dropout=dropout
        )


class HistogramEncoder(Encoder):
    """Blocks of histograms of oriented gradients, each through one linear map.

        g = [x(r, c+1) - x(r, c-1), x(r+1, c) - x(r-1, c)]    of the channel where it is longest; 0 at the edge
        v_b = sum of |g| over the pixels of a cell whose angle, modulo 180 degrees, is in bin b, / the cell's pixels
        u = v / sqrt(|v|^2 + e^2),  u' = min(u, 0.2),  y = u' / sqrt(|u'|^2 + e^2)        L2-Hys, v of 2 x 2 cells
        token_t = W (s_t * sqrt(K) y_t) + b        s_t a learned gain per place and channel, at first N(0, 1)

    Blocks of K numbers overlap by a cell, e is 1e-5, and x is from 0 to 1. Dalal & Triggs, CVPR 2005. Deviations, as
    scikit-image's `hog` has them: a pixel votes for one bin and one cell alone, not for the neighbours as well; there
    is no window over a block and no square root of the pixels. What is left over right and below where cells do not fit
    is not read. A side shorter than a cell is one cell, and one of a single cell has blocks of that cell. The gain is
    that of `ImageEncoder`; the root makes what it scales about 1. `maps` is y.

    >>> encoder = HistogramEncoder(size=(28, 28), cell=8, bins=9, deviation=(60.0,), width=16, dropout=0.0)
    >>> encoder({"pixels": torch.zeros(2, 1, 28, 28)}).values.shape
    torch.Size([2, 4, 16])
    """

    def __init__(
        self,
        *,
        size: tuple[int, int],
        cell: int,
        bins: int,
        deviation: Sequence[float],
        width: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.output_width, self.bins = width, bins
        self.cell = (min(cell, size[0]), min(cell, size[1]))
        cells = (size[0] // self.cell[0], size[1] // self.cell[1])
        self.block = (min(BLOCK, cells[0]), min(BLOCK, cells[1]))
        self.output_grid = self.grid = (cells[0] - self.block[0] + 1, cells[1] - self.block[1] + 1)
        channels = math.prod(self.block) * bins
        self.output_maps = ((channels, *self.grid),)
        self.scale: Tensor
        self.register_buffer("scale", torch.tensor(deviation).view(-1, 1, 1) / 255, persistent=False)
        self.gain = nn.Parameter(torch.randn(math.prod(self.grid), channels))
        self.dropout = Dropout(dropout)
        self.project = nn.Linear(channels, width)

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`pixels [N, C, H, W]` -> `[N, h * w, D]`."""
        blocks = self.blocks(values["pixels"] * self.scale)
        x = math.sqrt(blocks.shape[1]) * blocks.flatten(2).transpose(1, 2)
        tokens = self.project(self.dropout(self.gain * x))
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Tokens(tokens, mask, mask[:, 0], maps=(blocks,))

    def blocks(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N blocks h w"]:
        """Normalised blocks of pixels from 0 to 1; channel (i, j, b) is bin b of the block's cell in row i, column j.

        Only differences of pixels count, so that a mean taken from them changes nothing.
        """
        histograms = self.histograms(x)
        (down, right), (high, wide) = self.grid, self.block
        parts = [histograms[:, :, i : i + down, j : j + right] for i in range(high) for j in range(wide)]
        clipped = _normed(torch.cat(parts, dim=1)).clamp(max=CLIP)
        return _normed(clipped)

    def histograms(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N bins rows columns"]:
        """The votes of each cell's pixels, divided by their number."""
        across, down = (x[..., 2:] - x[..., :-2], x[..., 2:, :] - x[..., :-2, :])
        gx, gy = F.pad(across, (1, 1))[..., : x.shape[-1]], F.pad(down, (0, 0, 1, 1))[..., : x.shape[-2], :]
        strongest = (gx.detach().square() + gy.detach().square()).argmax(dim=1, keepdim=True)
        gx, gy = gx.gather(1, strongest), gy.gather(1, strongest)
        length = (gx.square() + gy.square()).clamp(min=FAINTEST**2).sqrt()
        length = length * (length.detach() > FAINTEST)
        angle = torch.atan2(gy.detach(), gx.detach()).remainder(math.pi)
        bin_of = (angle * (self.bins / math.pi)).long().clamp(max=self.bins - 1)
        votes = torch.zeros_like(length).repeat(1, self.bins, 1, 1).scatter(1, bin_of, length)
        return F.avg_pool2d(votes, self.cell)


def _normed(x: Float[Tensor, "N K h w"]) -> Float[Tensor, "N K h w"]:
    return x / (x.square().sum(dim=1, keepdim=True) + EPSILON**2).sqrt()
