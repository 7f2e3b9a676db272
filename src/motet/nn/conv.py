"""Residual convolutions with group normalisation: a row is normalised by itself alone."""

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

EPSILON = 1e-6  # beside the variance of a filter


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., CVPR 2016), the first one strided.

    `y = relu(norm(conv(relu(norm(conv(x))))) + shortcut(x))`. Deviations: group norm (Wu & He, ECCV 2018) behind
    standardised filters (see `StandardConv2d`) for batch norm; where the shape changes the shortcut is an average pool
    and a 1x1 convolution.

    >>> import torch
    >>> ResidualBlock(8, 16, stride=(2, 2))(torch.randn(1, 8, 14, 14)).shape
    torch.Size([1, 16, 7, 7])
    """

    def __init__(self, input_channels: int, output_channels: int, *, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.first = StandardConv2d(input_channels, output_channels, 3, stride=stride, padding=1, bias=False)
        self.first_norm = group_norm(output_channels)
        self.second = StandardConv2d(output_channels, output_channels, 3, padding=1, bias=False)
        self.second_norm = group_norm(output_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != (1, 1) or input_channels != output_channels:
            pool = nn.AvgPool2d(stride, ceil_mode=True) if stride != (1, 1) else nn.Identity()
            self.shortcut = nn.Sequential(pool, nn.Conv2d(input_channels, output_channels, 1, bias=False))

    def forward(self, x: Float[Tensor, "N I H W"]) -> Float[Tensor, "N O h w"]:
        """Map to `output_channels`; each side shrinks by its stride, rounded up."""
        inner = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(inner)) + self.shortcut(x))


class StandardConv2d(nn.Conv2d):
    """A convolution with standardised filters: `w' = (w - mean(w)) / sqrt(n (var(w) + eps))`, n weights each.

    Before group norm it makes up for most of what is lost against batch norm, and no row depends on another (weight
    standardisation: Qiao et al., arXiv:1903.10520, 2019). Deviation: w' has length 1 rather than deviation 1 (as
    Brock et al., ICLR 2021); the norm behind takes the factor out.

    >>> import torch
    >>> conv = StandardConv2d(4, 8, 3, padding=1, bias=False)
    >>> moved = StandardConv2d(4, 8, 3, padding=1, bias=False)
    >>> _ = moved.load_state_dict({"weight": 5 * conv.weight + 2})
    >>> x = torch.randn(1, 4, 6, 5)
    >>> torch.allclose(conv(x), moved(x), atol=1e-3)
    True
    """

    def forward(self, x: Float[Tensor, "N I H W"]) -> Float[Tensor, "N O h w"]:
        """As `Conv2d`."""
        filters = self.weight.flatten(1)
        size = filters.shape[1]
        standard = F.layer_norm(filters, (size,), eps=EPSILON) / math.sqrt(size)
        mapped: Tensor = self._conv_forward(x, standard.view_as(self.weight), self.bias)
        return mapped


def group_norm(channels: int) -> nn.GroupNorm:
    """Group norm with as many equal groups as leave four channels or more in each, at most 8.

    >>> group_norm(12).num_groups
    3
    """
    groups = max(count for count in range(1, 9) if channels % count == 0 and (count == 1 or channels // count >= 4))
    return nn.GroupNorm(groups, channels)
