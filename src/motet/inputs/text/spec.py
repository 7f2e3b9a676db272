"""What the user writes of a text, how it is fitted, and which encoder reads it."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from motet.core.component import shorthand
from motet.core.errors import SpecError
from motet.inputs.base import Preparation
from motet.inputs.pretrained import MayBePretrained, MiniLM, Pretrained, PretrainedEncoder
from motet.inputs.text.encoder import GRULayers, TextEncoder, TransformerLayers
from motet.inputs.text.preparation import TextPreparation
from motet.inputs.text.pretrained import PretrainedTextPreparation, fit_pretrained
from motet.inputs.text.runs import without
from motet.inputs.text.sample import longest_of, sampled
from motet.inputs.text.stopwords import StopWords, stop_words_of
from motet.inputs.text.terms import TermPreparation
from motet.inputs.text.tfidf import MOST_WORDS, TermEncoder, Tfidf
from motet.text import Tokenizer, written

WIDTH = 128
"""Of the tokens of encoders that are trained from scratch."""

AnyTextEncoder = Annotated[
    Annotated[GRULayers | TransformerLayers | Tfidf | Pretrained | MiniLM, Field(discriminator="kind")],
    BeforeValidator(shorthand),
]
AnyTextPreparation = TextPreparation | TermPreparation | PretrainedTextPreparation


class Text(MayBePretrained):
    """Text: byte-level BPE and a recurrent or transformer encoder from scratch, TF-IDF, or a pretrained model.

    A pretrained model reads by its own tokenizer; `vocabulary`, `lowercase`, `spelling` and `word_dropout` are of the
    others. TF-IDF counts words, up to `max_tokens` of a text, and has no `vocabulary`, `words` or `spelling`.
    """

    kind: Literal["text"] = "text"
    several: ClassVar[bool] = False
    vocabulary: int = Field(
        default=8000, ge=257, description="Tokens at most; the 256 bytes and padding are always among them."
    )
    lowercase: bool = Field(
        default=True, description="Lower-case every text first; how words are spelt keeps its capitals."
    )
    stop_words: StopWords = Field(
        default="none",
        description="Words to leave out: a short list of function words of de, en, es, fr, it, nl or pt, of several of "
        "these, or a list of words.",
    )
    max_tokens: PositiveInt | Literal["auto"] = Field(
        default="auto",
        description="Where a text is cut off; the 99th percentile of the training texts, at most 256, if 'auto'; of "
        "tfidf 65,536 words.",
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
    encoder: AnyTextEncoder = Field(
        default=GRULayers(),
        description="gru, transformer, tfidf, minilm or pretrained, by its name or with its fields.",
    )
    width: Annotated[int, Field(ge=2)] | Literal["auto"] = Field(
        default="auto", description="Width of the tokens; auto: 128, or that of a pretrained model."
    )
    dropout: float = Field(default=0.3, ge=0, lt=1, description="Dropout of the embeddings and behind each layer.")
    word_dropout: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="How often a token of a training row is hidden; with `words`, a word; of tfidf, a term.",
    )

    @model_validator(mode="after")
    def _it_is_words_that_are_spelt(self) -> Self:
        if self.spelling is True and self.words is False:
            raise ValueError("spelling is that of words; leave out `words: false`, or `spelling`")
        return self

    @model_validator(mode="after")
    def _words_keep_their_places(self) -> Self:
        reason = self._no_words
        if reason and (self.words is True or self.spelling is True):
            raise ValueError(f"{reason}; leave out `words: true` and `spelling: true`, or choose otherwise")
        if self.pretrained is not None and self.stop_words != "none":
            raise ValueError("a pretrained model reads whole sentences; leave out `stop_words`")
        return self

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        width = WIDTH if self.width == "auto" else self.width
        if isinstance(self.encoder, TransformerLayers) and width % self.encoder.heads:
            raise ValueError(f"the {self.encoder.heads} heads of the transformer must divide the width {width}")
        return self

    def fit(self, cells: Iterable[object]) -> AnyTextPreparation:
        """Train the tokenizer on the texts, or on 200,000 of them, evenly spread; or take that of the pretrained model.

        >>> Text(vocabulary=300).fit(["some words", "some words"]).max_tokens
        64
        >>> Text(vocabulary=300).fit([["some", "words"], ["New", "York"]]).words
        True
        """
        given = sampled(cells)
        words = self._words_apart(given)
        if isinstance(self.encoder, Pretrained):
            return fit_pretrained(self.encoder, given, max_tokens=self.max_tokens, words=words)
        stop_words = stop_words_of(self.stop_words)
        texts = [written(one) for one in given]
        if isinstance(self.encoder, Tfidf):
            return self.encoder.fit(
                texts,
                max_tokens=MOST_WORDS if self.max_tokens == "auto" else self.max_tokens,
                lowercase=self.lowercase,
                stop_words=sorted(stop_words),
                word_dropout=self.word_dropout,
            )
        texts = [without(text, stop_words) for text in texts] if stop_words else texts
        tokenizer = Tokenizer.train(texts, vocabulary=self.vocabulary, lowercase=self.lowercase)
        auto = longest_of([len(tokenizer.encode(text)) for text in texts])
        return TextPreparation(
            tokenizer=tokenizer,
            max_tokens=auto if self.max_tokens == "auto" else self.max_tokens,
            word_dropout=self.word_dropout,
            words=words,
            spelling=words if self.spelling == "auto" else self.spelling,
            stop_words=tuple(sorted(stop_words)),
        )

    def restore(self, state: dict[str, Any]) -> AnyTextPreparation:
        """The preparation a bundle holds."""
        if isinstance(self.encoder, Tfidf):
            return TermPreparation.model_validate(state)
        if isinstance(self.encoder, Pretrained):
            return PretrainedTextPreparation.model_validate(state)
        return TextPreparation.model_validate(state)

    def resolved(self, preparation: Preparation) -> Self:
        """With the length that was fitted, what is known of words, and the width of the tokens."""
        assert isinstance(preparation, AnyTextPreparation)
        own = preparation.width if isinstance(preparation, PretrainedTextPreparation) else WIDTH
        found = {name: getattr(preparation, name) for name in ("max_tokens", "words", "spelling")}
        return self.model_copy(update=found | {"width": own if self.width == "auto" else self.width})

    def build(self, preparation: Preparation) -> TextEncoder | TermEncoder | PretrainedEncoder:
        """A fresh encoder for texts prepared so."""
        if isinstance(self.encoder, Pretrained):
            assert isinstance(preparation, PretrainedTextPreparation)
            width = None if self.width == "auto" else self.width
            return self.encoder.build(preparation.config, "text", width=width, dropout=self.dropout)
        width = WIDTH if self.width == "auto" else self.width
        if isinstance(self.encoder, Tfidf):
            assert isinstance(preparation, TermPreparation)
            return TermEncoder(num_terms=len(preparation.terms), width=width, dropout=self.dropout)
        assert isinstance(preparation, TextPreparation)
        context = self.encoder.build(width, longest=preparation.max_tokens + 1, dropout=self.dropout)
        return TextEncoder(
            num_ids=preparation.num_ids,
            width=width,
            context=context,
            dropout=self.dropout,
            spelling=preparation.spelling,
        )

    @property
    def _no_words(self) -> str:
        """Why words can not be told apart; empty where they can."""
        if isinstance(self.encoder, Tfidf):
            return "tfidf makes one token of a whole text"
        return "" if self.stop_words == "none" else "words that are told apart keep their places, stop words as well"

    def _words_apart(self, given: Sequence[str | list[str]]) -> bool:
        """Whether words are told apart; `SpecError` where a task asks for what can not be."""
        if self._no_words:
            if self.words is True:
                raise SpecError(f"a task reads the single words of this text, but {self._no_words}")
            return False
        apart = self.spelling is True or any(isinstance(one, list) for one in given)
        return apart if self.words == "auto" else self.words
