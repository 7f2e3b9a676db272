"""A small residual CNN whose tokens are the cells of its last map.

Shapes: C, H, W of the picture; h, w of the last map; D width.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from motet.core.flow import Tokens
from motet.inputs.base import Encoder
from motet.nn import Dropout, ResidualBlock, StandardConv2d, group_norm

GRID = 4  # a side of the last map is at most this


class ImageEncoder(Encoder):
    """A residual CNN (He et al., CVPR 2016) with group norm, halved until no side of the map is longer than 4.

    A strided 3x3 convolution, then one residual block for each further halving and one more; channels start at `first`
    and double with each halving up to `width`. Tokens are the cells of the last map, row by row:

        token_t = W (s_t * g_t) + b         g_t the cell, s_t a learned gain per place and channel, at first N(0, 1)

    The gain lets a mean over tokens keep what was where; without it digits take several times as many steps. `maps` are
    what each stage leaves, the last one at the resolution of the tokens.

    >>> encoder = ImageEncoder(size=(28, 28), channels=1, first=16, width=64, dropout=0.0)
    >>> encoder({"pixels": torch.zeros(2, 1, 28, 28)}).values.shape
    torch.Size([2, 16, 64])
    """

    def __init__(self, *, size: tuple[int, int], channels: int, first: int, width: int, dropout: float) -> None:
        super().__init__()
        self.output_width = width
        strides = halvings(size)
        self.output_grid = last_map(size, strides)
        depth = [min(first * 2**stage, max(width, first)) for stage in range(len(strides))]
        layers: list[nn.Module] = [
            StandardConv2d(channels, depth[0], 3, stride=strides[0], padding=1, bias=False),
            group_norm(depth[0]),
            nn.ReLU(),
        ]
        for stage in range(1, len(strides)):
            layers.append(ResidualBlock(depth[stage - 1], depth[stage], stride=strides[stage]))
        layers.append(ResidualBlock(depth[-1], depth[-1]))
        self.stages = nn.Sequential(*layers)
        sides = [last_map(size, strides[: stage + 1]) for stage in range(len(strides))]
        self.output_maps = tuple((channels, *side) for channels, side in zip(depth, sides, strict=True))
        self.gain = nn.Parameter(torch.randn(math.prod(self.output_grid), depth[-1]))
        self.dropout = Dropout(dropout)
        self.project = nn.Linear(depth[-1], width)

    def felt(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Callable[[Tensor], Tokens]]:
        """The pixels `[N, C, H, W]`."""
        return values["pixels"], lambda x: self.forward({"pixels": x})

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`pixels [N, C, H, W]` -> `[N, h * w, D]`."""
        maps = self._maps(values["pixels"])
        cells = self.project(self.dropout(self.gain * maps[-1].flatten(2).transpose(1, 2)))
        mask = torch.ones(cells.shape[:2], dtype=torch.bool, device=cells.device)
        return Tokens(cells, mask, mask[:, 0], maps=maps)

    def _maps(self, x: Float[Tensor, "N C H W"]) -> tuple[Float[Tensor, "N c h w"], ...]:
        """What each stage leaves: the stem is three modules, the last two blocks are of one resolution."""
        found = [self.stages[:3](x)]
        for stage in range(3, len(self.stages) - 1):
            found.append(self.stages[stage](found[-1]))
        return (*found[:-1], self.stages[-1](found[-1]))


def halvings(size: tuple[int, int]) -> list[tuple[int, int]]:
    """The strides, at least one of them, that bring each side to 4 or less; a side that is there already stays.

    >>> halvings((28, 16))
    [(2, 2), (2, 2), (2, 1)]
    """
    strides: list[tuple[int, int]] = []
    while max(size) > GRID or not strides:
        stride = (1 + (size[0] > GRID), 1 + (size[1] > GRID))
        strides.append(stride)
        size = (-(-size[0] // stride[0]), -(-size[1] // stride[1]))
    return strides


def last_map(size: tuple[int, int], strides: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Height and width of the map after these strides, each rounding up.

    >>> last_map((28, 10), [(2, 2), (2, 1)])
    (7, 5)
    """
    for stride in strides:
        size = (-(-size[0] // stride[0]), -(-size[1] // stride[1]))
    return size
