"""From the maps of a picture's encoder back to a map as large as the picture.

Shapes: B rows, D width of the features, C, H, W of a map.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from motet.nn.conv import ResidualBlock


class MapDecoder(nn.Module):
    """The way up of a U-Net (Ronneberger et al., MICCAI 2015), told by the row's features what else is known.

        x_L = conv_1x1(m_L) + A f                      m_1 ... m_L the maps from fine to coarse, f the features
        x_l = block(up(x_{l+1}) beside m_l)            beside: joined by channel
        out = unfolded(conv_3x3(x_1))                  a cell of m_1 says the outputs of all pixels it stands for

    `up` is bilinear, to the size of m_l; the last convolution's channels are unfolded into pixels (sub-pixel
    convolution: Shi et al., CVPR 2016), so that sides that are no powers of 2 are cut at the end. x_l has as many
    channels as m_l, at least `width` and at most 4 times as many. Deviations from the U-Net: residual blocks with group
    norm, bilinear for learned upsampling, and maps as large as the picture are neither read nor made.

    >>> decoder = MapDecoder([(4, 6, 5), (8, 3, 3)], features=7, width=8, outputs=3, size=(11, 10))
    >>> decoder([torch.zeros(2, 4, 6, 5), torch.zeros(2, 8, 3, 3)], torch.zeros(2, 7)).shape
    torch.Size([2, 3, 11, 10])
    """

    def __init__(
        self, maps: Sequence[tuple[int, int, int]], *, features: int, width: int, outputs: int, size: tuple[int, int]
    ) -> None:
        super().__init__()
        self.size, self.outputs = size, outputs
        self.sides = [(height, width) for _, height, width in maps]
        self.factors = tuple(-(-whole // side) for whole, side in zip(size, self.sides[0], strict=True))
        channels = [min(max(depth, width), 4 * width) for depth, _, _ in maps]
        self.coarsest = nn.Conv2d(maps[-1][0], channels[-1], 1)
        self.told = nn.Linear(features, channels[-1], bias=False)
        self.blocks = nn.ModuleList(
            ResidualBlock(below + maps[place][0], channels[place]) for place, below in enumerate(channels[1:])
        )
        self.last = nn.Conv2d(channels[0], outputs * self.factors[0] * self.factors[1], 3, padding=1)

    def forward(
        self, maps: Sequence[Float[Tensor, "B C h w"]], features: Float[Tensor, "B D"]
    ) -> Float[Tensor, "B O H W"]:
        """Maps from fine to coarse and features -> outputs for every pixel."""
        x = self.coarsest(maps[-1]) + self.told(features)[:, :, None, None]
        for place in reversed(range(len(maps) - 1)):
            up = F.interpolate(x, size=self.sides[place], mode="bilinear", align_corners=False)
            x = self.blocks[place](torch.cat([up, maps[place]], dim=1))
        return self._unfolded(self.last(x))

    def start_from(self, outputs: Float[Tensor, "O"], *, scale: float = 0.1) -> None:
        """Say nearly this of every pixel: it becomes the last bias, beside weights of `scale` times what they were."""
        assert self.last.bias is not None
        with torch.no_grad():
            self.last.weight.mul_(scale)
            self.last.bias.copy_(outputs.repeat_interleave(self.factors[0] * self.factors[1]))

    def _unfolded(self, x: Float[Tensor, "B c h w"]) -> Float[Tensor, "B O H W"]:
        """Channel (o, i, j) of cell (y, x) becomes output o of pixel (y fy + i, x fx + j)."""
        (down, right), (height, width) = self.factors, self.sides[0]
        parts = x.reshape(len(x), self.outputs, down, right, height, width).permute(0, 1, 4, 2, 5, 3)
        whole = parts.reshape(len(x), self.outputs, height * down, width * right)
        return whole[:, :, : self.size[0], : self.size[1]]
