"""Bottleneck tokens: the only way from one input to another."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from motet.core.errors import SpecError
from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.embed import Embeddings, Summaries, check_heads, contextual, learned_tokens, mean_of_present
from motet.fusion.project import one_stream, presence
from motet.nn.attention import TransformerBlock
from motet.nn.named import Named


class Bottleneck(FusionSpec):
    """A transformer per input; what one input knows reaches the others through a few shared tokens only.

    >>> Bottleneck(width=16).build({"photo": 8, "review": 4}).streams
    ('joint',)
    """

    kind: Literal["bottleneck"] = "bottleneck"
    paper: ClassVar[str] = "Nagrani et al., Attention Bottlenecks for Multimodal Fusion, NeurIPS 2021"
    width: int = Field(default=64, gt=0, description="Width of all tokens and of the fused vector.")
    layers: int = Field(default=2, gt=1, description="Layers of each input's transformer.")
    from_layer: int = Field(
        default=0, ge=0, description="Layers before this one see their own input alone; two at least must follow."
    )
    bottlenecks: int = Field(default=4, gt=0, description="Tokens through which the inputs exchange what they know.")
    heads: int = Field(default=4, gt=0, description="Heads of the attention; they divide the width.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout behind each attention and each perceptron.")

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "BottleneckFusion":
        """Refuses heads that do not divide the width, and a `from_layer` that leaves fewer than two layers."""
        return BottleneckFusion(
            input_widths,
            width=self.width,
            layers=self.layers,
            from_layer=self.from_layer,
            bottlenecks=self.bottlenecks,
            heads=self.heads,
            dropout=self.dropout,
        )


class BottleneckFusion(Fusion):
    """Attention bottlenecks, MBT (Nagrani et al., NeurIPS 2021).

    Each input m has a token c_m of its own before its tokens, and blocks of its own. The first `from_layer` layers are
    `z_m = Block_m(z_m)`, z_m the tokens with c_m; from there on, with B bottleneck tokens b, learned at first,

        [b_m; z_m] = Block_m([b; z_m]),    b = mean of b_m over the inputs present.

    Then `h = mean_m norm(c_m)` over the inputs present. One layer takes what the inputs know into b, only the next
    hands it out, so fewer than two fused layers are refused. An absent input is in no mean, exactly. `tokens` are
    norm(z_m) without c_m.

    Deviations: tokens are normalised and get sinusoidal places, where the paper learns them; vectors are averaged, not
    the decisions made from them.

    >>> present = torch.ones(2, dtype=torch.bool)
    >>> photo = Tokens(torch.zeros(2, 9, 8), torch.ones(2, 9, dtype=torch.bool), present)
    >>> age = Tokens(torch.zeros(2, 1, 3), present[:, None], present)
    >>> joint = BottleneckFusion({"age": 3, "photo": 8}, width=16)({"age": age, "photo": photo})["joint"]
    >>> joint.pooled.shape, joint.tokens["photo"].values.shape
    (torch.Size([2, 16]), torch.Size([2, 9, 16]))
    """

    def __init__(
        self,
        input_widths: Mapping[str, int],
        *,
        width: int = 64,
        layers: int = 2,
        from_layer: int = 0,
        bottlenecks: int = 4,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_heads(width, heads)
        if layers - from_layer < 2:
            raise SpecError(
                f"fusion.from_layer: {from_layer} of {layers} layers leaves {max(0, layers - from_layer)}, and the "
                f"inputs would never hear of one another; it takes two: set it to {max(0, layers - 2)} or add layers"
            )
        self.output_width = width
        self.exact = self.contextual = True
        self.streams = ("joint",)
        self.inputs = tuple(sorted(input_widths))
        self.from_layer = from_layer
        self.num_layers = layers
        self.embed = Embeddings(input_widths, width=width)
        self.summaries = Summaries(self.inputs, width=width)
        self.bottlenecks = learned_tokens(bottlenecks, width)
        self.blocks = Named(
            {
                name: nn.ModuleList(TransformerBlock(width, heads=heads, dropout=dropout) for _ in range(layers))
                for name in self.inputs
            }
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        embedded, present = self.summaries(self.embed(tokens)), presence(tokens)
        z = {name: self.norm(each) for name, each in self._exchange(embedded, present).items()}
        fused = mean_of_present({name: each[:, 0] for name, each in z.items()}, present)
        contexts = {name: contextual(each[:, 1:], tokens[name]) for name, each in z.items()}
        return one_stream(fused, tokens, contexts=contexts)

    def _exchange(
        self, embedded: Mapping[str, Tokens], present: Bool[Tensor, "B M"]
    ) -> dict[str, Float[Tensor, "B T W"]]:
        """All layers, the bottleneck tokens in front where they take part."""
        z = {name: one.values for name, one in embedded.items()}
        masks = {name: one.mask for name, one in embedded.items()}
        for layer in range(self.from_layer):
            z = {name: blocks[layer](z[name], masks[name]) for name, blocks in self.blocks.items()}
        size = self.bottlenecks.shape[0]
        shared = self.bottlenecks.expand(present.shape[0], -1, -1)
        masks = {name: torch.cat([mask.new_ones(mask.shape[0], size), mask], dim=1) for name, mask in masks.items()}
        for layer in range(self.from_layer, self.num_layers):
            both = {name: torch.cat([shared, each], dim=1) for name, each in z.items()}
            both = {name: blocks[layer](both[name], masks[name]) for name, blocks in self.blocks.items()}
            shared = mean_of_present({name: each[:, :size] for name, each in both.items()}, present)
            z = {name: each[:, size:] for name, each in both.items()}
        return z
