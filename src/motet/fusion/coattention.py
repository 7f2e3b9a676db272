"""Co-attention: every input reads all others at once."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.embed import Embeddings, Summaries, check_heads, contextual, mean_of_present
from motet.fusion.project import one_stream, presence
from motet.nn.attention import TransformerBlock, attend
from motet.nn.dropout import Dropout
from motet.nn.named import Named
from motet.nn.pooling import hide

Streams = Mapping[str, Float[Tensor, "B T W"]]


class CoAttention(FusionSpec):
    """Streams side by side, one per input; in every layer each reads the tokens of all others at once.

    >>> CoAttention(width=16).build({"photo": 8, "review": 4}).streams
    ('joint',)
    """

    kind: Literal["coattention"] = "coattention"
    paper: ClassVar[str] = "Lu et al., ViLBERT: Pretraining Task-Agnostic Visiolinguistic Representations, NeurIPS 2019"
    width: int = Field(default=64, gt=0, description="Width of all tokens and of the fused vector.")
    layers: int = Field(default=1, gt=0, description="Layers; in each all streams read one another, then themselves.")
    heads: int = Field(default=4, gt=0, description="Heads of the attention; they divide the width.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout behind each attention and each perceptron.")

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "CoAttentionFusion":
        """Refuses heads that do not divide the width."""
        return CoAttentionFusion(
            input_widths, width=self.width, layers=self.layers, heads=self.heads, dropout=self.dropout
        )


class CoAttentionFusion(Fusion):
    """Co-attentional transformer layers, ViLBERT (Lu et al., NeurIPS 2019), for any number of inputs.

    In each layer, for every input a, n_a = norm_a(x_a):

        x_a += O_a softmax(Q_a n_a [K_b n_b]^T / sqrt(d)) [V_b n_b]    over the tokens of all b != a at once,
        x_a = Block_a(x_a),                                            self-attention and a perceptron.

    The first of the x_a is a learned token. Then `[s_a; y_a] = norm_a(x_a)`, `h = mean_a s_a` over the inputs present.
    Keys and values belong to the stream that is read, as in the paper. An absent input is among nobody's keys and not
    in the mean, exactly; an input by itself reads only itself. `tokens` are the y_a.

    Deviations: the paper has two streams, so one softmax over one other; it normalises behind each part and has a
    perceptron behind the co-attention too; it multiplies the first tokens of its two streams, where the mean lets any
    input be missing.

    >>> present = torch.ones(2, dtype=torch.bool)
    >>> photo = Tokens(torch.zeros(2, 9, 8), torch.ones(2, 9, dtype=torch.bool), present)
    >>> age = Tokens(torch.zeros(2, 1, 3), present[:, None], present)
    >>> joint = CoAttentionFusion({"age": 3, "photo": 8}, width=16)({"age": age, "photo": photo})["joint"]
    >>> joint.pooled.shape, joint.tokens["photo"].values.shape
    (torch.Size([2, 16]), torch.Size([2, 9, 16]))
    """

    def __init__(
        self,
        input_widths: Mapping[str, int],
        *,
        width: int = 64,
        layers: int = 1,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_heads(width, heads)
        self.output_width = width
        self.exact = self.contextual = True
        self.streams = ("joint",)
        self.inputs = tuple(sorted(input_widths))
        self.embed = Embeddings(input_widths, width=width)
        self.summaries = Summaries(self.inputs, width=width)
        self.layers = nn.ModuleList(_Layer(self.inputs, width, heads, dropout) for _ in range(layers))
        self.norms = Named({name: nn.LayerNorm(width) for name in self.inputs})

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        embedded, present = self.summaries(self.embed(tokens)), presence(tokens)
        masks = {name: one.mask for name, one in embedded.items()}
        x = {name: one.values for name, one in embedded.items()}
        for layer in self.layers:
            x = layer(x, masks)
        x = {name: self.norms[name](each) for name, each in x.items()}
        fused = mean_of_present({name: each[:, 0] for name, each in x.items()}, present)
        contexts = {name: contextual(each[:, 1:], tokens[name]) for name, each in x.items()}
        return one_stream(fused, tokens, contexts=contexts)


class _Layer(nn.Module):
    """All streams read one another as they were before, then each reads itself."""

    def __init__(self, inputs: Sequence[str], width: int, heads: int, dropout: float) -> None:
        super().__init__()
        several = len(inputs) > 1  # an input that is the only one reads nobody
        self.readers = Named({name: _Reader(width, heads, dropout) for name in inputs if several})
        self.blocks = Named({name: TransformerBlock(width, heads=heads, dropout=dropout) for name in inputs})

    def forward(self, x: Streams, masks: Mapping[str, Bool[Tensor, "B T"]]) -> Streams:
        """Streams in, streams out."""
        offers = {name: reader.offer(x[name]) for name, reader in self.readers.items()}
        found = {}
        for name, block in self.blocks.items():
            others = [other for other in offers if other != name]
            each = x[name]
            if others:
                key, value = (torch.cat([offers[other][part] for other in others], dim=1) for part in (1, 2))
                mask = torch.cat([masks[other] for other in others], dim=1)
                each = each + self.readers[name](offers[name][0], key, value, mask)
            found[name] = block(each, masks[name])
        return found


class _Reader(nn.Module):
    """One stream's part in a layer: what it asks, what it offers the others, and what it makes of their answers."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.dropout = Dropout(dropout)

    def offer(self, x: Float[Tensor, "B T W"]) -> tuple[Tensor, ...]:
        """Queries, keys and values of every token."""
        parts: Tensor = self.query_key_value(self.norm(x))
        return parts.chunk(3, dim=2)

    def forward(
        self,
        query: Float[Tensor, "B Q W"],
        key: Float[Tensor, "B T W"],
        value: Float[Tensor, "B T W"],
        mask: Bool[Tensor, "B T"],
    ) -> Float[Tensor, "B Q W"]:
        """What the queries read; nothing where nobody else is there."""
        read = self.output(attend(query, key, value, mask, heads=self.heads))
        dropped: Tensor = self.dropout(hide(read, mask.any(dim=1, keepdim=True).expand(read.shape[:2])))
        return dropped
