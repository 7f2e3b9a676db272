"""Residual convolutions with group normalisation: a row is normalised by itself alone."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., CVPR 2016), the first one strided.

    `y = relu(norm(conv(relu(norm(conv(x))))) + shortcut(x))`. Deviation: group norm (Wu & He, ECCV 2018) for batch
    norm; where the shape changes the shortcut is an average pool and a 1x1 convolution.

    >>> import torch
    >>> ResidualBlock(8, 16, stride=(2, 2))(torch.randn(1, 8, 14, 14)).shape
    torch.Size([1, 16, 7, 7])
    """

    def __init__(self, input_channels: int, output_channels: int, *, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.first = nn.Conv2d(input_channels, output_channels, 3, stride=stride, padding=1, bias=False)
        self.first_norm = group_norm(output_channels)
        self.second = nn.Conv2d(output_channels, output_channels, 3, padding=1, bias=False)
        self.second_norm = group_norm(output_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != (1, 1) or input_channels != output_channels:
            pool = nn.AvgPool2d(stride, ceil_mode=True) if stride != (1, 1) else nn.Identity()
            self.shortcut = nn.Sequential(pool, nn.Conv2d(input_channels, output_channels, 1, bias=False))

    def forward(self, x: Float[Tensor, "N I H W"]) -> Float[Tensor, "N O h w"]:
        """Map to `output_channels`; each side shrinks by its stride, rounded up."""
        inner = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(inner)) + self.shortcut(x))


def group_norm(channels: int) -> nn.GroupNorm:
    """Group norm with as many equal groups as leave four channels or more in each, at most 8.

    >>> group_norm(12).num_groups
    3
    """
    groups = max(count for count in range(1, 9) if channels % count == 0 and (count == 1 or channels // count >= 4))
    return nn.GroupNorm(groups, channels)
