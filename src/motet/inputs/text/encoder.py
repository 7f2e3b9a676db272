"""Tokens of a text, in context. Shapes: N rows, T tokens, D width, F features of a word's spelling."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn

from motet.core.component import ComponentSpec
from motet.core.flow import Tokens
from motet.inputs.base import Encoder
from motet.nn import BidirectionalGRU, Dropout, Transformer
from motet.text import PADDING
from motet.text.spelling import NUM_BUCKETS

SMALL = 0.1
"""The deviation of new embeddings: torch's 1 is slower to move, and learns less from few texts."""


class TextEncoder(Encoder):
    """Token embeddings, dropout, `context(x, mask) -> x` over them, dropout.

    Where words are told apart by `word [N, T]`, so are the tokens that come out. With `spelling` the embedding of a
    token is the sum of its own and those of its word's features.

    >>> import torch
    >>> encoder = TextEncoder(num_ids=300, width=8, context=[BidirectionalGRU(8, width=8)], dropout=0.1)
    >>> encoder({"ids": torch.ones(2, 5, dtype=torch.long), "mask": torch.ones(2, 5, dtype=torch.bool)}).values.shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self, *, num_ids: int, width: int, context: Sequence[nn.Module], dropout: float, spelling: bool = False
    ) -> None:
        super().__init__()
        self.output_width = width
        self.embedding = nn.Embedding(num_ids, width)
        nn.init.normal_(self.embedding.weight, std=SMALL)
        self.spelling = Spelling(width) if spelling else None
        self.context = nn.ModuleList(context)
        self.dropout = nn.ModuleList(Dropout(dropout) for _ in range(len(context) + 1))

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`ids [N, T]`, `mask [N, T]`, and as they were prepared `word [N, T]`, `spelling [N, T, F]` -> `[N, T, D]`."""
        return self._tokens(self._embedded(values), values)

    def felt(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Callable[[Tensor], Tokens]]:
        """The embeddings `[N, T, D]`, one for each token."""
        return self._embedded(values), lambda x: self._tokens(x, values)

    def _embedded(self, values: Mapping[str, Tensor]) -> Float[Tensor, "N T D"]:
        x: Tensor = self.embedding(values["ids"])
        return x if self.spelling is None else x + self.spelling(values["spelling"])

    def _tokens(self, x: Float[Tensor, "N T D"], values: Mapping[str, Tensor]) -> Tokens:
        mask = values["mask"]
        x = self.dropout[0](x)
        for context, dropout in zip(self.context, self.dropout[1:], strict=True):
            x = dropout(context(x, mask))
        return Tokens(x, mask, mask[:, 0], values.get("word"))


class Spelling(nn.Module):
    """The sum of the embeddings of a word's features (see `motet.text.spelling`); 0 stands for none.

    >>> import torch
    >>> Spelling(8)(torch.zeros(2, 5, 10, dtype=torch.long)).abs().sum()
    tensor(0., grad_fn=<SumBackward0>)
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(NUM_BUCKETS + 1, width, mode="sum", padding_idx=PADDING)
        nn.init.normal_(self.embedding.weight, std=SMALL)

    def forward(self, features: Int64[Tensor, "N T F"]) -> Float[Tensor, "N T D"]:
        """Features of words -> vectors."""
        vectors: Tensor = self.embedding(features.flatten(0, 1))
        return vectors.view(*features.shape[:2], -1)


class GRULayers(ComponentSpec):
    """Bidirectional gated recurrent layers."""

    kind: Literal["gru"] = "gru"
    paper: ClassVar[str] = "Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, EMNLP 2014"
    layers: int = Field(default=1, ge=1, description="Layers one upon another.")

    def build(self, width: int, *, longest: int, dropout: float) -> list[nn.Module]:
        """Modules `(x [N, T, width], mask) -> [N, T, width]`."""
        return [BidirectionalGRU(width, width=width) for _ in range(self.layers)]


class TransformerLayers(ComponentSpec):
    """A pre-norm transformer with learned positions."""

    kind: Literal["transformer"] = "transformer"
    paper: ClassVar[str] = "Vaswani et al., Attention Is All You Need, NeurIPS 2017"
    layers: int = Field(default=2, ge=1, description="Blocks one upon another.")
    heads: int = Field(default=4, ge=1, description="Heads of the attention; they divide the width.")

    def build(self, width: int, *, longest: int, dropout: float) -> list[nn.Module]:
        """Modules `(x [N, T, width], mask) -> [N, T, width]`."""
        return [Transformer(width, layers=self.layers, heads=self.heads, longest=longest, dropout=dropout)]
