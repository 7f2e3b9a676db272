"""Text: a tokenizer trained on the user's own texts, and a recurrent or transformer encoder trained from scratch.

Shapes: N rows, T tokens, D width.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Int32
from pydantic import BeforeValidator, Field, PositiveInt, model_validator
from torch import Tensor, nn

from motet.core.checks import text_of
from motet.core.component import ComponentSpec, shorthand
from motet.core.errors import CellError
from motet.core.flow import Tokens
from motet.inputs.base import Encoder, InputSpec, Preparation, readable, spread
from motet.nn import BidirectionalGRU, Dropout, Transformer
from motet.text import PADDING, Tokenizer

LONGEST = 256  # of an "auto" number of tokens
SHORTEST = 64  # room for texts longer than those trained on; batches are padded to their own longest
TEXTS_SAMPLED = 200_000  # more do not change the merges, but take minutes and memory


class TextPreparation(Preparation):
    """A tokenizer, where texts are cut off, and how often a token is hidden in training.

    A text is its tokens behind a start token, so that an empty one still is something. Ids: 0 padding, then the
    tokenizer's, then start, then hidden.
    """

    tokenizer: Tokenizer
    max_tokens: int
    word_dropout: float

    @property
    def num_ids(self) -> int:
        """How many ids there are."""
        return self.tokenizer.size + 2

    @property
    def varies(self) -> bool:
        """Whether tokens are hidden in training."""
        return self.word_dropout > 0

    def read(self, cell: object) -> Int32[np.ndarray, "T"]:
        """Start, then the first `max_tokens` tokens of the text; numbers and truth values count as written."""
        ids = self.tokenizer.encode(written(cell))[: self.max_tokens]
        return np.concatenate([np.array([self.tokenizer.size], dtype=np.int32), ids])

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Hide each token but the start at probability `word_dropout`."""
        hidden = generator.random(len(item)) < self.word_dropout
        hidden[0] = False
        return np.where(hidden, np.int32(self.tokenizer.size + 1), item)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"ids": [n, T], "mask": [n, T]}`, padded behind."""
        lengths = np.array([len(item) for item in items])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, PADDING, dtype=np.int64)
        ids[mask] = np.concatenate(items)
        return {"ids": torch.from_numpy(ids), "mask": torch.from_numpy(mask)}


class TextEncoder(Encoder):
    """Token embeddings, dropout, `context(x, mask) -> x` over them, dropout.

    >>> encoder = TextEncoder(num_ids=300, width=8, context=[BidirectionalGRU(8, width=8)], dropout=0.1)
    >>> encoder({"ids": torch.ones(2, 5, dtype=torch.long), "mask": torch.ones(2, 5, dtype=torch.bool)}).values.shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, *, num_ids: int, width: int, context: Sequence[nn.Module], dropout: float) -> None:
        super().__init__()
        self.output_width = width
        self.embedding = nn.Embedding(num_ids, width)
        nn.init.normal_(self.embedding.weight, std=0.1)  # torch's 1 is slower to move, and learns less from few texts
        self.context = nn.ModuleList(context)
        self.dropout = nn.ModuleList(Dropout(dropout) for _ in range(len(context) + 1))

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`ids [N, T]`, `mask [N, T]` -> `[N, T, D]`."""
        mask = values["mask"]
        x = self.dropout[0](self.embedding(values["ids"]))
        for context, dropout in zip(self.context, self.dropout[1:], strict=True):
            x = dropout(context(x, mask))
        return Tokens(x, mask, mask[:, 0])


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


AnyTextEncoder = Annotated[
    Annotated[GRULayers | TransformerLayers, Field(discriminator="kind")], BeforeValidator(shorthand)
]


class Text(InputSpec):
    """Text: byte-level BPE and a recurrent or transformer encoder, both trained from scratch."""

    kind: Literal["text"] = "text"
    several: ClassVar[bool] = False
    vocabulary: int = Field(
        default=8000, ge=257, description="Tokens at most; the 256 bytes and padding are always among them."
    )
    lowercase: bool = Field(default=True, description="Lower-case every text first.")
    max_tokens: PositiveInt | Literal["auto"] = Field(
        default="auto",
        description="Where a text is cut off; the 99th percentile of the training texts, at most 256, if 'auto'.",
    )
    encoder: AnyTextEncoder = Field(default=GRULayers(), description="gru or transformer, or either with its fields.")
    width: int = Field(default=128, ge=2, description="Width of the embeddings and of the tokens.")
    dropout: float = Field(default=0.3, ge=0, lt=1, description="Dropout of the embeddings and behind each layer.")
    word_dropout: float = Field(default=0.1, ge=0, lt=1, description="How often a token of a training row is hidden.")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if isinstance(self.encoder, TransformerLayers) and self.width % self.encoder.heads:
            raise ValueError(f"the {self.encoder.heads} heads of the transformer must divide the width {self.width}")
        return self

    def fit(self, cells: Iterable[object]) -> TextPreparation:
        """Train the tokenizer on the texts, or on 200,000 of them, evenly spread.

        >>> Text(vocabulary=300).fit(["some words", "some words"]).max_tokens
        64
        """
        texts = [str(text) for text in spread(readable(cells, written), TEXTS_SAMPLED)]
        tokenizer = Tokenizer.train(texts, vocabulary=self.vocabulary, lowercase=self.lowercase)
        lengths = [len(tokenizer.encode(text)) for text in texts]
        auto = min(LONGEST, max(SHORTEST, 2 * int(np.ceil(np.quantile(lengths, 0.99)))))
        return TextPreparation(
            tokenizer=tokenizer,
            max_tokens=auto if self.max_tokens == "auto" else self.max_tokens,
            word_dropout=self.word_dropout,
        )

    def restore(self, state: dict[str, Any]) -> TextPreparation:
        """The preparation a bundle holds."""
        return TextPreparation.model_validate(state)

    def resolved(self, preparation: Preparation) -> Self:
        """With the length that was fitted."""
        assert isinstance(preparation, TextPreparation)
        return self.model_copy(update={"max_tokens": preparation.max_tokens})

    def build(self, preparation: Preparation) -> TextEncoder:
        """A fresh encoder for texts prepared so."""
        assert isinstance(preparation, TextPreparation)
        context = self.encoder.build(self.width, longest=preparation.max_tokens + 1, dropout=self.dropout)
        return TextEncoder(num_ids=preparation.num_ids, width=self.width, context=context, dropout=self.dropout)


def written(cell: object) -> str:
    """The text of a cell; `CellError` for bytes, lists and the like.

    >>> written(5.0), written("five")
    ('5', 'five')
    """
    if isinstance(cell, str | bool | int | float | np.generic):
        return text_of(cell.item() if isinstance(cell, np.generic) else cell)
    raise CellError(f"expected text, found a value of type {type(cell).__name__}")
