"""Steps to tokens: a residual CNN over time, or a transformer. N rows, T steps, F features of a step, D width."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from motet.core.component import ComponentSpec
from motet.core.flow import Tokens
from motet.inputs.base import Encoder
from motet.nn import Dropout, FrameBlock, FrameConv, TransformerBlock, hide
from motet.nn.dropout import IndexDropout

UNSEEN = 0.02
"""How often the label of a training row's step is replaced by "unknown", so that it is learned."""
FEWEST_TOKENS = 16
"""The CNN takes every second step only where it leaves the longest series so many tokens."""


class CNNLayers(ComponentSpec):
    """A residual CNN over time."""

    kind: Literal["cnn"] = "cnn"
    paper: ClassVar[str] = "He et al., Deep Residual Learning for Image Recognition, CVPR 2016"
    channels: int = Field(default=64, ge=1, description="Channels of the residual blocks.")
    blocks: int = Field(default=2, ge=1, description="Residual blocks.")


class StepFeatures(nn.Module):
    """What each step holds: its numbers, or the learned vector of its label (0: unknown, 1: no step at all).

    >>> StepFeatures(num_labels=3, width=8)({"index": torch.tensor([[2, 0]])}).shape
    torch.Size([1, 2, 8])
    """

    def __init__(self, *, num_labels: int, width: int) -> None:
        super().__init__()
        self.unseen = IndexDropout(UNSEEN)
        self.embedding = nn.Embedding(2 + num_labels, width)

    def forward(self, values: Mapping[str, Tensor]) -> Float[Tensor, "N T F"]:
        """`index [N, T]` -> vectors."""
        vectors: Tensor = self.embedding(self.unseen(values["index"]))
        return vectors


class StepStem(nn.Module):
    """A convolution of five steps, normalised, plus a linear map of the middle one: `norm(conv(x)) + W x + b`.

    The norm alone would hide how large numbers are.

    >>> StepStem(3, 8, stride=2)(torch.zeros(2, 5, 3)).shape
    torch.Size([2, 3, 8])
    """

    def __init__(self, features: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.around = FrameConv(features, width, kernel=5, stride=stride)
        self.itself = nn.Linear(features, width)

    def forward(self, x: Float[Tensor, "N T F"]) -> Float[Tensor, "N t D"]:
        """Steps behind a row's end have to be zeros."""
        every = x[:, :: self.stride].contiguous()  # as a view, an exported graph would hold for some lengths alone
        mixed: Tensor = self.around(x) + self.itself(every)
        return mixed


class SeriesCNNEncoder(Encoder):
    """A convolution of five steps (`StepStem`) and residual blocks over time; the first `halvings` of them take every
    second step.

    With `timed` a step also has log(1 + g), g the time since the step before it, in median gaps.

    >>> encoder = SeriesCNNEncoder(features=3, channels=8, blocks=2, width=16, halvings=1)
    >>> encoder({"steps": torch.zeros(2, 5, 3), "mask": torch.ones(2, 5, dtype=torch.bool)}).values.shape
    torch.Size([2, 3, 16])
    """

    def __init__(
        self,
        *,
        features: int,
        channels: int,
        blocks: int,
        width: int,
        halvings: int = 0,
        num_labels: int | None = None,
        timed: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.output_width = width
        strides = [2 if place < halvings else 1 for place in range(1 + blocks)]
        self.spare = 2 * 2 ** sum(stride == 2 for stride in strides)
        self.labels = None if num_labels is None else StepFeatures(num_labels=num_labels, width=channels)
        given = (features if num_labels is None else channels) + int(timed)
        self.stem = StepStem(given, channels, stride=strides[0])
        self.blocks = nn.ModuleList(FrameBlock(channels, channels, stride=stride) for stride in strides[1:])
        self.dropout = Dropout(dropout)
        self.project = nn.Linear(channels, width)

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`mask [N, T]` with `steps [N, T, F]` or `index [N, T]`, and with times `time [N, T]` -> `[N, t, D]`."""
        mask, time = values["mask"], values.get("time")
        x = hide(_features(self.labels, values), mask)
        if torch.compiler.is_compiling():  # of one step left by the strides it would be a special case
            time = None if time is None else F.pad(time, [0, self.spare])
            x, mask = F.pad(x, [0, 0, 0, self.spare]), F.pad(mask, [0, self.spare])
        if time is not None:
            x = torch.cat([x, _gaps(hide(time, mask)).to(x.dtype)], dim=2)
        x = F.relu(self.stem(hide(x, mask)))
        mask = mask[:, :: self.stem.stride]
        for block in self.blocks:
            x = block(x, mask)
            mask = mask[:, :: block.stride]
        tokens = hide(self.project(self.dropout(x)), mask)
        return Tokens(tokens, mask, mask[:, 0])


class SeriesTransformerEncoder(Encoder):
    """A convolution of five steps (`StepStem`), the place of each added, and pre-norm transformer blocks: one token for
    each step.

    `place(time [N, T])` gives the vectors of the places; with `timed` the convolution sees the gaps too, as that of
    `SeriesCNNEncoder` does. Without `place` steps are points in no order, each goes through a linear map alone, and in
    another order the tokens are the same ones in that order. Deviation from Vaswani et al.: they have no convolution;
    from few rows attention alone did not learn to compare a step with the one before it.

    >>> encoder = SeriesTransformerEncoder(features=3, width=8, layers=1, heads=2)
    >>> encoder({"steps": torch.zeros(2, 5, 3), "mask": torch.ones(2, 5, dtype=torch.bool)}).values.shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        *,
        features: int,
        width: int,
        layers: int,
        heads: int,
        place: nn.Module | None = None,
        num_labels: int | None = None,
        timed: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.output_width = width
        self.labels = None if num_labels is None else StepFeatures(num_labels=num_labels, width=width)
        given = (features if num_labels is None else width) + int(timed)
        self.stem = nn.Linear(given, width) if place is None else StepStem(given, width)
        self.place = place
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads=heads, dropout=dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`mask [N, T]` with `steps [N, T, F]` or `index [N, T]`, and with times `time [N, T]` -> `[N, T, D]`."""
        mask, time = values["mask"], values.get("time")
        x = hide(_features(self.labels, values), mask)
        if time is not None:
            time = hide(time, mask)
            x = torch.cat([x, hide(_gaps(time).to(x.dtype), mask)], dim=2)
        x = self.stem(x)
        if self.place is not None:
            x = x + self.place(mask.to(x.dtype) if time is None else time).to(x.dtype)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, mask)
        return Tokens(hide(self.norm(x), mask), mask, mask[:, 0])


def _features(labels: StepFeatures | None, values: Mapping[str, Tensor]) -> Float[Tensor, "N T F"]:
    if labels is None:
        return values["steps"]
    vectors: Tensor = labels({"index": values["index"] * values["mask"]})
    return vectors


def _gaps(time: Float[Tensor, "N T"]) -> Float[Tensor, "N T 1"]:
    """log(1 + g) of the time since the step before; of the first step 0."""
    before = torch.where(torch.arange(time.shape[1], device=time.device) == 0, time, time.roll(1, dims=1))
    return torch.log1p((time - before).clamp(min=0))[:, :, None]


def halvings_of(max_steps: int) -> int:
    """How often every second step may be taken until the longest series has `FEWEST_TOKENS` tokens.

    >>> halvings_of(24), halvings_of(32), halvings_of(200)
    (0, 1, 3)
    """
    return max(0, (max_steps // FEWEST_TOKENS).bit_length() - 1)
