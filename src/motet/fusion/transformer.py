"""One transformer over the tokens of all inputs."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn

from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.embed import Embeddings, check_heads, contextual, learned_tokens
from motet.fusion.project import one_stream
from motet.nn.attention import TransformerBlock


class Transformer(FusionSpec):
    """One transformer over the tokens of all inputs, every token free to read every other.

    >>> Transformer(width=16).build({"photo": 8, "review": 4}).streams
    ('joint',)
    """

    kind: Literal["transformer"] = "transformer"
    paper: ClassVar[str] = "Vaswani et al., Attention Is All You Need, NeurIPS 2017"
    width: int = Field(default=64, gt=0, description="Width of all tokens and of the fused vector.")
    layers: int = Field(default=2, gt=0, description="Blocks one upon another.")
    heads: int = Field(default=4, gt=0, description="Heads of the attention; they divide the width.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout behind each attention and each perceptron.")

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "TransformerFusion":
        """Refuses heads that do not divide the width."""
        return TransformerFusion(
            input_widths, width=self.width, layers=self.layers, heads=self.heads, dropout=self.dropout
        )


class TransformerFusion(Fusion):
    """`[h; y] = norm(Block(... Block([c; z_1; ...; z_M])))`: a learned token c before the tokens of all inputs.

    z_m are the tokens of input m with its embedding and their places; h, what becomes of c, is the fused vector, and
    `tokens` are the y. The blocks (Vaswani et al., NeurIPS 2017) are pre-norm; c is that of BERT (Devlin et al., NAACL
    2019). An absent input is exact: its tokens are nobody's keys. In a row without any, c reads only itself. Only real
    tokens are computed: in each row they move up to c, and back.

    >>> present = torch.ones(2, dtype=torch.bool)
    >>> photo = Tokens(torch.zeros(2, 9, 8), torch.ones(2, 9, dtype=torch.bool), present)
    >>> joint = TransformerFusion({"photo": 8}, width=16)({"photo": photo})["joint"]
    >>> joint.pooled.shape, joint.tokens["photo"].values.shape
    (torch.Size([2, 16]), torch.Size([2, 9, 16]))
    """

    def __init__(
        self,
        input_widths: Mapping[str, int],
        *,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_heads(width, heads)
        self.output_width = width
        self.exact = self.contextual = True
        self.streams = ("joint",)
        self.embed = Embeddings(input_widths, width=width)
        self.summary = learned_tokens(width)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads=heads, dropout=dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        embedded = self.embed(tokens)
        mask = torch.cat([one.mask for one in embedded.values()], dim=1)
        order = _real_first(mask)
        x = _picked(torch.cat([one.values for one in embedded.values()], dim=1), order)
        x = torch.cat([self.summary.to(x.dtype).expand(x.shape[0], 1, -1), x], dim=1)
        real = torch.cat([mask.new_ones(x.shape[0], 1), mask.gather(1, order)], dim=1)
        for block in self.blocks:
            x = block(x, real)
        x = self.norm(x)
        fused = x[:, 0]
        return one_stream(fused, tokens, contexts=_parted(x[:, 1:], mask, tokens))


def _real_first(mask: Bool[Tensor, "B T"]) -> Int64[Tensor, "B t"]:
    """Which token goes where: real ones first, in their order, as many places as the fullest row needs.

    Keyed dropout counts the tokens of a row, so padding between inputs would make it depend on the other rows.
    """
    order = mask.logical_not().to(torch.uint8).argsort(dim=1, stable=True)
    if mask.is_cuda or torch.compiler.is_compiling():
        return order  # cutting would have to wait for the device
    return order[:, : max(1, int(mask.sum(dim=1).max()))]


def _parted(y: Float[Tensor, "B t W"], mask: Bool[Tensor, "B T"], tokens: Mapping[str, Tokens]) -> dict[str, Tokens]:
    """Each input's tokens, back at their places."""
    place = (mask.cumsum(dim=1) - 1).clamp(min=0)
    lengths = [tokens[name].mask.shape[1] for name in sorted(tokens)]
    parts = torch.split(_picked(y, place), lengths, dim=1)
    return {name: contextual(part, tokens[name]) for name, part in zip(sorted(tokens), parts, strict=True)}


def _picked(x: Float[Tensor, "B T W"], index: Int64[Tensor, "B t"]) -> Float[Tensor, "B t W"]:
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))
