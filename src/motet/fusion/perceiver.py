"""Learned latents that read the tokens of all inputs."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.embed import Embeddings, check_heads, learned_tokens
from motet.fusion.project import one_stream
from motet.nn.attention import CrossBlock, TransformerBlock


class Perceiver(FusionSpec):
    """A few learned latents read the tokens of all inputs: costs grow with the length, not with its square.

    >>> Perceiver(width=16).build({"photo": 8, "review": 4}).streams
    ('joint',)
    """

    kind: Literal["perceiver"] = "perceiver"
    paper: ClassVar[str] = "Jaegle et al., Perceiver IO, ICLR 2022"
    width: int = Field(default=64, gt=0, description="Width of tokens, latents and the fused vector.")
    latents: int = Field(default=16, gt=1, description="How many latents there are.")
    layers: int = Field(default=2, gt=0, description="Blocks over the latents, once they have read the inputs.")
    heads: int = Field(default=4, gt=0, description="Heads of the attention; they divide the width.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout behind each attention and each perceptron.")

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "PerceiverFusion":
        """Refuses heads that do not divide the width."""
        return PerceiverFusion(
            input_widths,
            width=self.width,
            latents=self.latents,
            layers=self.layers,
            heads=self.heads,
            dropout=self.dropout,
        )


class PerceiverFusion(Fusion):
    """The encoder of Perceiver IO (Jaegle et al., ICLR 2022): `h = mean_n norm(Block(... Block(Read(l, z))))_n`.

    N learned latents l read z, the tokens of all inputs, by cross-attention (a `CrossBlock`), and `layers`
    self-attention blocks turn them over. An absent input is exact: its tokens are nobody's keys. In a row without any
    the latents stay as they are, a learned fallback. There are no `tokens`: nothing is written back to the inputs.

    Deviations: the latents are averaged, as in the first Perceiver (Jaegle et al., ICML 2021), not read by a learned
    query, which took longer to learn; places are sinusoids added to the tokens, where the papers concatenate Fourier
    features; the cross-attention has as many heads as the blocks, where they give it one; latents and tokens are of
    one width.

    >>> present = torch.ones(2, dtype=torch.bool)
    >>> photo = Tokens(torch.zeros(2, 9, 8), torch.ones(2, 9, dtype=torch.bool), present)
    >>> PerceiverFusion({"photo": 8}, width=16)({"photo": photo})["joint"].pooled.shape
    torch.Size([2, 16])
    """

    def __init__(
        self,
        input_widths: Mapping[str, int],
        *,
        width: int = 64,
        latents: int = 16,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_heads(width, heads)
        self.output_width = width
        self.exact = True
        self.streams = ("joint",)
        self.embed = Embeddings(input_widths, width=width)
        self.latents = learned_tokens(latents, width)
        self.read = CrossBlock(width, heads=heads, dropout=dropout)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads=heads, dropout=dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        embedded = self.embed(tokens).values()
        z, mask = (torch.cat(parts, dim=1) for parts in zip(*((one.values, one.mask) for one in embedded), strict=True))
        x = self.read(self.latents.expand(z.shape[0], -1, -1), z, mask)
        every = mask.new_ones(x.shape[:2])
        for block in self.blocks:
            x = block(x, every)
        fused = self.norm(x).mean(dim=1)
        return one_stream(fused, tokens)
