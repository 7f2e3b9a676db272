"""Convolutions over sequences of unequal length: what lies behind a row's end reaches nothing.

Every convolution reads zeros there, as at the border, and norms look at one frame at a time.
Shapes: N rows, T frames, I channels in, O channels out.
"""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from motet.nn.pooling import hide


class FrameConv(nn.Module):
    """A convolution over time, each frame's channels then normalised; frames behind a row's end have to be zeros.

    >>> import torch
    >>> FrameConv(10, 8, kernel=5, stride=2)(torch.randn(1, 5, 10)).shape
    torch.Size([1, 3, 8])
    """

    def __init__(self, input_channels: int, output_channels: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        assert kernel % 2, "a frame is the middle of what it is made of"
        self.conv = nn.Conv1d(input_channels, output_channels, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = nn.LayerNorm(output_channels)

    def forward(self, x: Float[Tensor, "N T I"]) -> Float[Tensor, "N t O"]:
        """Frame t of the answer is centred on frame `stride * t`."""
        normed: Tensor = self.norm(self.conv(x.transpose(1, 2)).transpose(1, 2))
        return normed


class FrameBlock(nn.Module):
    """A residual block (He et al., CVPR 2016) of two convolutions over time; the first one takes the stride.

    `y = relu(conv(relu(conv(x))) + W x)`, with W x every `stride`-th frame, mapped to the channels of y.

    >>> import torch
    >>> FrameBlock(8, 16, stride=2)(torch.randn(1, 5, 8), torch.ones(1, 5, dtype=torch.bool)).shape
    torch.Size([1, 3, 16])
    """

    def __init__(self, input_channels: int, output_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.first = FrameConv(input_channels, output_channels, stride=stride)
        self.second = FrameConv(output_channels, output_channels)
        self.shortcut = nn.Linear(input_channels, output_channels, bias=False)

    def forward(self, x: Float[Tensor, "N T I"], mask: Bool[Tensor, "N T"]) -> Float[Tensor, "N t O"]:
        """Frames in, every `stride`-th frame out; those not in the mask hold nothing of use."""
        x = hide(x, mask)
        inner = hide(F.relu(self.first(x)), mask[:, :: self.stride])
        every = x[:, :: self.stride].contiguous()  # as a view, an exported graph would hold for some lengths alone
        return F.relu(self.second(inner) + self.shortcut(every))
