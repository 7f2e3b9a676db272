"""What the user writes of a text, and how it is fitted."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from motet.core.component import shorthand
from motet.inputs.base import InputSpec, Preparation, readable, spread
from motet.inputs.text.encoder import GRULayers, TextEncoder, TransformerLayers
from motet.inputs.text.preparation import TextPreparation
from motet.text import Tokenizer, words_of, written

LONGEST = 256  # of an "auto" number of tokens
SHORTEST = 64  # room for texts longer than those trained on; batches are padded to their own longest
TEXTS_SAMPLED = 200_000  # more do not change the merges, but take minutes and memory

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
    lowercase: bool = Field(
        default=True, description="Lower-case every text first; how words are spelt keeps its capitals."
    )
    max_tokens: PositiveInt | Literal["auto"] = Field(
        default="auto",
        description="Where a text is cut off; the 99th percentile of the training texts, at most 256, if 'auto'.",
    )
    words: bool | Literal["auto"] = Field(
        default="auto",
        description="Tell words apart, each encoded by itself: the items of a list, or what white space divides. auto: "
        "where cells are lists, a task tags words, or their spelling is to be known.",
    )
    spelling: bool | Literal["auto"] = Field(
        default="auto",
        description="Know of each token the spelling of its word: whole, its shape, its first and last letters. auto: "
        "where words are told apart.",
    )
    encoder: AnyTextEncoder = Field(default=GRULayers(), description="gru or transformer, or either with its fields.")
    width: int = Field(default=128, ge=2, description="Width of the embeddings and of the tokens.")
    dropout: float = Field(default=0.3, ge=0, lt=1, description="Dropout of the embeddings and behind each layer.")
    word_dropout: float = Field(
        default=0.1, ge=0, lt=1, description="How often a token of a training row is hidden; with `words`, a word."
    )

    @model_validator(mode="after")
    def _it_is_words_that_are_spelt(self) -> Self:
        if self.spelling is True and self.words is False:
            raise ValueError("spelling is that of words; leave out `words: false`, or `spelling`")
        return self

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if isinstance(self.encoder, TransformerLayers) and self.width % self.encoder.heads:
            raise ValueError(f"the {self.encoder.heads} heads of the transformer must divide the width {self.width}")
        return self

    def fit(self, cells: Iterable[object]) -> TextPreparation:
        """Train the tokenizer on the texts, or on 200,000 of them, evenly spread.

        >>> Text(vocabulary=300).fit(["some words", "some words"]).max_tokens
        64
        >>> Text(vocabulary=300).fit([["some", "words"], ["New", "York"]]).words
        True
        """
        given = spread(readable(cells, _text_or_words), TEXTS_SAMPLED)
        apart = self.spelling is True or any(isinstance(one, list) for one in given)
        words = apart if self.words == "auto" else self.words
        texts = [written(one) for one in given]
        tokenizer = Tokenizer.train(texts, vocabulary=self.vocabulary, lowercase=self.lowercase)
        lengths = [len(tokenizer.encode(text)) for text in texts]
        auto = min(LONGEST, max(SHORTEST, 2 * int(np.ceil(np.quantile(lengths, 0.99)))))
        return TextPreparation(
            tokenizer=tokenizer,
            max_tokens=auto if self.max_tokens == "auto" else self.max_tokens,
            word_dropout=self.word_dropout,
            words=words,
            spelling=words if self.spelling == "auto" else self.spelling,
        )

    def restore(self, state: dict[str, Any]) -> TextPreparation:
        """The preparation a bundle holds."""
        return TextPreparation.model_validate(state)

    def resolved(self, preparation: Preparation) -> Self:
        """With the length that was fitted, and what is known of words."""
        assert isinstance(preparation, TextPreparation)
        return self.model_copy(
            update={name: getattr(preparation, name) for name in ("max_tokens", "words", "spelling")}
        )

    def build(self, preparation: Preparation) -> TextEncoder:
        """A fresh encoder for texts prepared so."""
        assert isinstance(preparation, TextPreparation)
        context = self.encoder.build(self.width, longest=preparation.max_tokens + 1, dropout=self.dropout)
        return TextEncoder(
            num_ids=preparation.num_ids,
            width=self.width,
            context=context,
            dropout=self.dropout,
            spelling=preparation.spelling,
        )


def _text_or_words(cell: object) -> str | list[str]:
    return words_of(cell) if isinstance(cell, list) else written(cell)
