"""Cross-attention between every ordered pair of inputs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor, nn

from motet.core.checks import did_you_mean
from motet.core.errors import SpecError
from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.embed import Embeddings, Summaries, check_heads, contextual, mean_of_present
from motet.fusion.project import one_stream, presence
from motet.nn.attention import CrossBlock, TransformerBlock
from motet.nn.named import Named
from motet.nn.pooling import hide

Pairs = Literal["all"] | Annotated[tuple[tuple[str, str], ...], Field(min_length=1)]


class CrossAttention(FusionSpec):
    """Every input's tokens read those of every other, each ordered pair with weights of its own.

    >>> CrossAttention(width=16).build({"photo": 8, "review": 4}).streams
    ('joint',)
    """

    kind: Literal["crossattention"] = "crossattention"
    paper: ClassVar[str] = "Tsai et al., Multimodal Transformer for Unaligned Multimodal Language Sequences, ACL 2019"
    width: int = Field(default=64, gt=0, description="Width of all tokens and of the fused vector.")
    layers: int = Field(default=1, gt=0, description="Layers of each pair.")
    heads: int = Field(default=4, gt=0, description="Heads of the attention; they divide the width.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout behind each attention and each perceptron.")
    pairs: Pairs = Field(
        default="all",
        description="Which input reads which: all, or pairs [reader, read], e.g. [[review, photo], [review, price]].",
    )

    @field_validator("pairs", mode="before")
    @classmethod
    def _all_or_pairs(cls, given: Any) -> Any:
        named = isinstance(given, list | tuple) and given and all(_is_pair(one) for one in given)
        if given != "all" and not named:
            raise ValueError("expected all, or pairs [reader, read] such as [[review, photo], [review, price]]")
        if given != "all" and len({tuple(one) for one in given}) < len(given):
            raise ValueError("the same pair stands there twice")
        return given

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "CrossAttentionFusion":
        """Refuses heads that do not divide the width, and pairs of other than two of the inputs."""
        return CrossAttentionFusion(
            input_widths,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            dropout=self.dropout,
            pairs=self.pairs,
        )


class CrossAttentionFusion(Fusion):
    """Directed cross-modal attention, MulT (Tsai et al., ACL 2019), for sequences of unequal length, not aligned.

    `h_ab = CrossBlock_ab(... CrossBlock_ab(z_a, z_b) ..., z_b)` for each pair of inputs a, b: `softmax(Q K^T / sqrt(d))
    V` with Q from the tokens of a and K, V from the embedded tokens z_b, and a perceptron, `layers` times. Then

        [s_a; y_a] = norm_a(Block_a(z_a + sum_b J_ab h_ab)),    h = mean_a s_a,

    Block_a a self-attention block, both a and b over the inputs *present*; the first of the z_a is a learned token, and
    s_a what becomes of it. The pair drops out where either is absent, exactly; an input by itself reads only itself.
    `tokens` are the y_a.

    Deviations: the paper joins the streams h_ab of one a by concatenation, which is the sum of one map per stream up to
    the part that is missing; the residual z_a and the mean over present inputs, where it concatenates the last token of
    each, let any input be missing. Queries and keys have a norm each; tokens are normalised, not scaled by sqrt(d),
    before the sinusoid is added, and one block per input reads the result, where the paper has three.

    >>> import torch
    >>> present = torch.ones(2, dtype=torch.bool)
    >>> photo = Tokens(torch.zeros(2, 9, 8), torch.ones(2, 9, dtype=torch.bool), present)
    >>> age = Tokens(torch.zeros(2, 1, 3), present[:, None], present)
    >>> joint = CrossAttentionFusion({"age": 3, "photo": 8}, width=16)({"age": age, "photo": photo})["joint"]
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
        pairs: Literal["all"] | Sequence[tuple[str, str]] = "all",
    ) -> None:
        super().__init__()
        check_heads(width, heads)
        self.output_width = width
        self.exact = self.contextual = True
        self.streams = ("joint",)
        self.inputs = tuple(sorted(input_widths))
        self.embed = Embeddings(input_widths, width=width)
        self.summaries = Summaries(self.inputs, width=width)
        sources = {name: tuple(_sources(name, self.inputs, pairs)) for name in self.inputs}
        self.pairs = Named(
            {
                name: Named({source: _Pair(width, layers, heads, dropout) for source in others})
                for name, others in sources.items()
            }
        )
        self.blocks = Named({name: TransformerBlock(width, heads=heads, dropout=dropout) for name in self.inputs})
        self.norms = Named({name: nn.LayerNorm(width) for name in self.inputs})

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        embedded, present = self.summaries(self.embed(tokens)), presence(tokens)
        read = {name: self._read(name, embedded) for name in self.inputs}
        fused = mean_of_present({name: y[:, 0] for name, y in read.items()}, present)
        contexts = {name: contextual(y[:, 1:], tokens[name]) for name, y in read.items()}
        return one_stream(fused, tokens, contexts=contexts)

    def _read(self, name: str, embedded: Mapping[str, Tokens]) -> Float[Tensor, "B T W"]:
        """`[s_a; y_a]`: the tokens of one input, having read those of the others."""
        own = embedded[name]
        x = own.values
        for source, pair in self.pairs[name].items():
            x = x + pair(own.values, embedded[source])
        y: Tensor = self.norms[name](self.blocks[name](x, own.mask))
        return y


class _Pair(nn.Module):
    """`J_ab h_ab`, zeros where b is absent."""

    def __init__(self, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(CrossBlock(width, heads=heads, dropout=dropout) for _ in range(layers))
        self.join = nn.Linear(width, width, bias=False)

    def forward(self, x: Float[Tensor, "B Q W"], source: Tokens) -> Float[Tensor, "B Q W"]:
        """What the tokens x, each for itself, take from those of `source`."""
        h = x
        for block in self.blocks:
            h = block(h, source.values, source.mask)
        return hide(self.join(h), source.present[:, None].expand(x.shape[:2]))


def _is_pair(given: Any) -> bool:
    return isinstance(given, list | tuple) and len(given) == 2 and all(isinstance(name, str) for name in given)


def _sources(name: str, inputs: Sequence[str], pairs: Literal["all"] | Sequence[tuple[str, str]]) -> Iterator[str]:
    """The inputs that `name` reads, sorted."""
    if pairs != "all":
        _check(pairs, inputs)
    for other in inputs:
        if other != name and (pairs == "all" or (name, other) in pairs):
            yield other


def _check(pairs: Sequence[tuple[str, str]], inputs: Sequence[str]) -> None:
    for pair in pairs:
        for name in pair:
            if name not in inputs:
                raise SpecError(f"fusion.pairs: there is no input {name!r}{did_you_mean(name, inputs)}")
        if pair[0] == pair[1]:
            raise SpecError(f"fusion.pairs: {pair[0]!r} reads itself anyway; name two different inputs")
