"""A small residual CNN over the frames of a spectrogram, whose tokens follow one another in time.

Shapes: N rows, F frames, M mel bands, C channels, T tokens, D width.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from motet.core.flow import Tokens
from motet.inputs.base import Encoder
from motet.nn import Dropout, FrameBlock, FrameConv, hide

SPARE_FRAMES = 8  # blank ones behind each sound, in a graph that is compiled or exported


class AudioEncoder(Encoder):
    """A residual CNN over time, the bands of the spectrogram as its first channels; every fourth frame is a token.

    >>> encoder = AudioEncoder(mels=40, channels=32, blocks=2, width=64, dropout=0.0)
    >>> values = {"frames": torch.zeros(2, 38, 40), "mask": torch.ones(2, 38, dtype=torch.bool)}
    >>> encoder(values).values.shape
    torch.Size([2, 10, 64])
    """

    def __init__(self, *, mels: int, channels: int, blocks: int, width: int, dropout: float) -> None:
        super().__init__()
        self.output_width = width
        self.stem = FrameConv(mels, channels, kernel=5, stride=2)
        strides = [2] + [1] * (blocks - 1)
        self.blocks = nn.ModuleList(FrameBlock(channels, channels, stride=stride) for stride in strides)
        self.dropout = Dropout(dropout)
        self.project = nn.Linear(channels, width)

    def felt(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Callable[[Tensor], Tokens]]:
        """The frames `[N, F, M]`."""
        return values["frames"], lambda x: self.forward({"frames": x, "mask": values["mask"]})

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`frames [N, F, M]`, `mask [N, F]` -> `[N, T, D]`."""
        frames, mask = values["frames"], values["mask"]
        if torch.compiler.is_compiling():  # of one frame left by the strides it would be a special case
            frames, mask = F.pad(frames, [0, 0, 0, SPARE_FRAMES]), F.pad(mask, [0, SPARE_FRAMES])
        x: Float[Tensor, "N F C"] = F.relu(self.stem(hide(frames, mask)))
        mask = mask[:, ::2]
        for block in self.blocks:
            x = block(x, mask)
            mask = mask[:, :: block.stride]
        tokens = hide(self.project(self.dropout(x)), mask)
        return Tokens(tokens, mask, mask[:, 0])
