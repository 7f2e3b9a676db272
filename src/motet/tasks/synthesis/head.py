"""Speaks with blocks that read the inputs, all frames at once.

Shapes: B rows, T tokens of memory, Q queries of n frames each, F = Q n frames, M mel bands, D width.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from motet.core.flow import Cells
from motet.nn import Dropout, TransformerBlock, hide
from motet.nn.attention import CrossBlock
from motet.nn.named import Named
from motet.tasks.part import PartHead, Reading


class SynthesisHead(PartHead):
    """Places of time that read each other and a memory, then say n frames each, and whether these still sound.

        x_q = p_q + P f;  x <- CrossBlock(TransformerBlock(x), memory), for each layer
        [y_t, s_t for the n frames t of query q] = W norm(x_q) + b

    p_q is learned, f are the row's features, y_t is a frame and s_t the logit of the sound going on. The memory is one
    token made of f, then those of each input that is there, all of width D.

    >>> from motet.core.flow import Tokens
    >>> head = SynthesisHead(6, sources={"note": 4}, mels=10, longest=9, step=4, width=8, layers=1, heads=2)
    >>> note = Tokens(torch.randn(2, 3, 4), torch.ones(2, 3, dtype=torch.bool), torch.tensor([True, False]))
    >>> reading = Reading(torch.randn(2, 6), {"note": note})
    >>> head.said(reading).shape, bool(head.answer(reading)[1].any())
    (torch.Size([2, 9, 11]), False)
    """

    def __init__(
        self,
        input_width: int,
        *,
        sources: Mapping[str, int],
        mels: int,
        longest: int,
        step: int = 4,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.mels, self.longest, self.step = mels, longest, step
        self.features = nn.Linear(input_width, width)
        self.tokens = Named({name: nn.Linear(one, width) for name, one in sources.items()})
        self.start = nn.Linear(input_width, width)
        self.places = nn.Parameter(0.02 * torch.randn(-(-longest // step), width))
        self.dropout = Dropout(dropout)
        self.among = nn.ModuleList(TransformerBlock(width, heads=heads, dropout=dropout) for _ in range(layers))
        self.across = nn.ModuleList(CrossBlock(width, heads=heads, dropout=dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.frames = nn.Linear(width, step * (mels + 1))

    def forward(self, reading: Reading, target: Cells) -> Float[Tensor, "B F M+1"]:
        """What is said, whatever the target is."""
        return self.said(reading)

    def said(self, reading: Reading) -> Float[Tensor, "B F M+1"]:
        """As many frames as the longest sound has, and behind each the logit of the sound still going on."""
        memory, mask = self._memory(reading)
        x = self.dropout(self.places + self.start(reading.features)[:, None])
        everywhere = torch.ones_like(x[:, :, 0], dtype=torch.bool)
        for among, across in zip(self.among, self.across, strict=True):
            x = across(among(x, everywhere), memory, mask)
        frames: Tensor = self.frames(self.norm(x))
        return frames.reshape(x.shape[0], -1, self.mels + 1)[:, : self.longest]

    @torch.no_grad()
    def answer(self, reading: Reading) -> Float[Tensor, "B F M+1"]:
        """As many of the first frames as are likelier to sound than not, one at least, and 1 behind each; 0 elsewhere.

        A row that has none of the inputs has no frames.
        """
        said = self.said(reading).float()
        length = (said[:, :, -1] > 0).sum(dim=1, keepdim=True).clamp(min=1)
        known = torch.stack([one.present for one in reading.tokens.values()]).any(dim=0)
        there = (torch.arange(said.shape[1], device=said.device) < length) & known[:, None]
        if not torch.compiler.is_compiling():
            longest = max(1, int(there.sum(dim=1).max()) if len(there) else 1)
            said, there = said[:, :longest], there[:, :longest]
        said = torch.cat([said[:, :, :-1], torch.ones_like(said[:, :, -1:])], dim=2)
        return torch.where(there[:, :, None], said, 0.0)

    def start_from(self, prior: Tensor) -> None:
        """The mean frame everywhere, and the fraction of the longest that sounds on average."""
        sounds = (prior[-1:] / self.longest).clamp(0.01, 0.99).logit()
        with torch.no_grad():
            self.frames.bias.copy_(torch.cat([prior[:-1], sounds]).repeat(self.step))

    def _memory(self, reading: Reading) -> tuple[Float[Tensor, "B T D"], Bool[Tensor, "B T"]]:
        values = [self.features(reading.features)[:, None]]
        masks = [torch.ones_like(values[0][:, :, 0], dtype=torch.bool)]
        for name, project in self.tokens.items():
            tokens = reading.tokens[name]
            mask = tokens.mask & tokens.present[:, None]
            values.append(project(hide(tokens.values, mask)))
            masks.append(mask)
        return torch.cat(values, dim=1), torch.cat(masks, dim=1)
