"""Residual convolutions over space and time, factorised; tokens are frames.

Shapes: N clips, K frames, I channels in, O channels out, H, W of a frame, h, w of a map, D width.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from motet.core.flow import Tokens
from motet.inputs.bag import THERE
from motet.inputs.base import Encoder
from motet.inputs.image.encoder import halvings, last_map
from motet.nn import Dropout, StandardConv2d, group_norm, hide

TIME, SIDE = 3, 3  # of a filter


class SpaceTimeConv(nn.Module):
    """A (2+1)D convolution (Tran et al., CVPR 2018): `y = time(relu(norm(space(x))))`, 1 x 3 x 3 and then 3 x 1 x 1.

    Between the two are M = floor(t d^2 I O / (d^2 I + t O)) channels, t = d = 3, as many as give it the weights of a
    3 x 3 x 3 convolution. Deviations: standardised filters and group norm, of each frame by itself, for batch norm;
    frames that are not there are zeros to the filters of time, as is what lies before the first.

    >>> conv = SpaceTimeConv(4, 8, stride=(2, 2))
    >>> conv(torch.zeros(1, 5, 4, 6, 6), torch.ones(1, 5, dtype=torch.bool)).shape
    torch.Size([1, 5, 8, 3, 3])
    """

    def __init__(self, input_channels: int, output_channels: int, *, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        weights = TIME * SIDE**2 * input_channels * output_channels
        between = weights // (SIDE**2 * input_channels + TIME * output_channels)
        self.space = StandardConv2d(input_channels, between, SIDE, stride=stride, padding=SIDE // 2, bias=False)
        self.norm = group_norm(between)
        self.time = StandardConv2d(between, output_channels, (TIME, 1), padding=(TIME // 2, 0), bias=False)

    def forward(self, x: Float[Tensor, "N K I H W"], there: Bool[Tensor, "N K"]) -> Float[Tensor, "N K O h w"]:
        """Frames in, as many frames out; what comes of those that are not there means nothing."""
        inner = F.relu(of_frames(self.norm, of_frames(self.space, x)))
        height, width = inner.shape[3:]
        along = hide(inner, there).flatten(3).transpose(1, 2)  # [N, M, K, h * w]
        mapped: Tensor = self.time(along)
        return mapped.transpose(1, 2).reshape(*x.shape[:2], -1, height, width)


class SpaceTimeBlock(nn.Module):
    """A residual block of R(2+1)D: `y = relu(norm(conv(relu(norm(conv(x))))) + shortcut(x))`, the first conv strided.

    Deviations: those of `SpaceTimeConv`; strides are in space alone, so that frames stay; where the shape changes the
    shortcut is an average pool and a 1 x 1 convolution.

    >>> block = SpaceTimeBlock(4, 8, stride=(2, 2))
    >>> block(torch.zeros(1, 5, 4, 6, 6), torch.ones(1, 5, dtype=torch.bool)).shape
    torch.Size([1, 5, 8, 3, 3])
    """

    def __init__(self, input_channels: int, output_channels: int, *, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.first = SpaceTimeConv(input_channels, output_channels, stride=stride)
        self.first_norm = group_norm(output_channels)
        self.second = SpaceTimeConv(output_channels, output_channels)
        self.second_norm = group_norm(output_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != (1, 1) or input_channels != output_channels:
            pool = nn.AvgPool2d(stride, ceil_mode=True) if stride != (1, 1) else nn.Identity()
            self.shortcut = nn.Sequential(pool, nn.Conv2d(input_channels, output_channels, 1, bias=False))

    def forward(self, x: Float[Tensor, "N K I H W"], there: Bool[Tensor, "N K"]) -> Float[Tensor, "N K O h w"]:
        """Frames in, as many frames out."""
        inner = F.relu(of_frames(self.first_norm, self.first(x, there)))
        return F.relu(of_frames(self.second_norm, self.second(inner, there)) + of_frames(self.shortcut, x))


class SpaceTimeEncoder(Encoder):
    """A small R(2+1)D (Tran et al., CVPR 2018), each frame halved until no side of its map is longer than 4.

    A strided (2+1)D convolution, one residual block for each further halving and one more; channels start at `first`
    and double with each halving up to `width`. A token is a frame, the mean over the cells c of its last map:

        token_k = W mean_c(s_kc * g_c) + b          s_kc the cell, g_c a learned gain per place, at first N(0, 1)

    >>> encoder = SpaceTimeEncoder(size=(8, 8), channels=1, first=4, width=6, dropout=0.0)
    >>> there = torch.tensor([[True, True, True], [True, False, False]])
    >>> encoder({"pixels": torch.zeros(2, 3, 1, 8, 8), "there": there}).values.shape
    torch.Size([2, 3, 6])
    """

    def __init__(self, *, size: tuple[int, int], channels: int, first: int, width: int, dropout: float) -> None:
        super().__init__()
        self.output_width = width
        strides = halvings(size)
        depth = [min(first * 2**stage, max(width, first)) for stage in range(len(strides))]
        self.stem = SpaceTimeConv(channels, depth[0], stride=strides[0])
        self.stem_norm = group_norm(depth[0])
        halved = zip(depth, depth[1:], strides[1:], strict=False)
        blocks = [SpaceTimeBlock(before, after, stride=stride) for before, after, stride in halved]
        self.blocks = nn.ModuleList([*blocks, SpaceTimeBlock(depth[-1], depth[-1])])
        self.gain = nn.Parameter(torch.randn(depth[-1], *last_map(size, strides)))
        self.dropout = Dropout(dropout)
        self.project = nn.Linear(depth[-1], width)

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`pixels [N, K, C, H, W]`, `there [N, K]` -> `[N, K, D]`."""
        there: Bool[Tensor, "N K"] = values[THERE]
        x = F.relu(of_frames(self.stem_norm, self.stem(hide(values["pixels"], there), there)))
        for block in self.blocks:
            x = block(x, there)
        tokens = self.project(self.dropout((x * self.gain).mean(dim=(3, 4))))
        return Tokens(hide(tokens, there), there, torch.any(there, dim=1))


def of_frames(module: nn.Module, x: Float[Tensor, "N K I H W"]) -> Float[Tensor, "N K O h w"]:
    """What a module that reads pictures makes of each frame by itself."""
    made: Tensor = module(x.flatten(0, 1))
    return made.view(*x.shape[:2], *made.shape[1:])
