"""The Spec of tasks that write text."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from motet.core.checks import did_you_mean, text_of
from motet.core.errors import CellError, DataError, SpecError
from motet.core.flow import Cells, Reader
from motet.nn import Decoder
from motet.tasks.base import Codec
from motet.tasks.generation.codec import HIDDEN, GenerationCodec
from motet.tasks.generation.head import GenerationHead
from motet.tasks.generation.search import AnySearch, BeamSearch, Sample
from motet.tasks.labels import label_of
from motet.tasks.losses import labelled_loss
from motet.tasks.part import PartTask, Source
from motet.text import Tokenizer

LONGEST, SHORTEST = 256, 16  # of an "auto" number of tokens
TEXTS_SAMPLED = 200_000  # more do not change the merges, but take minutes and memory


class Generation(PartTask):
    """Write a text: a caption, a translation, a summary, an answer.

    loss = mean over the ids of a row of KL(q || p), p what a transformer decoder says of the next id, having read all
    tokens of the inputs, the row's features and the ids before; q is the id itself, smoothed.

    >>> task = Generation(max_tokens=20).reading({"photo": "image", "note": "text"})
    >>> task.reads
    ('note', 'photo')
    >>> codec = task.fit(["a dog runs", "a dog sleeps"], {})
    >>> codec.decode(codec.batch([codec.read("a dog  sleeps")])["target"])
    {'': ['a dog sleeps']}
    """

    metric_names: ClassVar[tuple[str, ...]] = ("chrf", "bleu", "rouge_l")
    needs_all: ClassVar[bool] = False
    paper: ClassVar[str] = "Vaswani et al., Attention Is All You Need, NeurIPS 2017"

    kind: Literal["generation"] = "generation"
    of: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="The inputs whose tokens it reads, e.g. [photo]; all when left out."
    )
    vocabulary: int = Field(
        default=8000, ge=257, description="Tokens at most; the 256 bytes and the end are always among them."
    )
    lowercase: bool = Field(default=False, description="Lower-case every text first: it then writes lower case.")
    max_tokens: PositiveInt | Literal["auto"] = Field(
        default="auto",
        description="How many tokens it learns from and writes at most; twice the 99th percentile of the training "
        "texts, from 16 to 256, if 'auto'.",
    )
    width: int = Field(default=128, ge=2, description="Width of the decoder.")
    layers: int = Field(default=2, ge=1, description="Blocks of the decoder.")
    heads: int = Field(default=4, ge=1, description="Heads of its attention; they divide the width.")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Dropout of the decoder.")
    smoothing: float = Field(
        default=0.1, ge=0, lt=1, description="Label smoothing: how much of the certainty goes to all tokens alike."
    )
    search: AnySearch = Field(
        default=BeamSearch(), description="How it writes: greedy, beam or sample, or one of them with its fields."
    )

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"the {self.heads} heads of the decoder must divide its width {self.width}")
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        """All of `of`."""
        assert self.of is not None, "`reading` says which inputs there are"
        return self.of

    def reading(self, kinds: Mapping[str, str]) -> Self:
        """With all inputs written out, or those that were named."""
        for name in self.of or ():
            if name not in kinds:
                raise SpecError(f"of: there is no input {name!r}{did_you_mean(name, kinds)}")
        return self.model_copy(update={"of": tuple(sorted(set(self.of or kinds)))})

    def fit(self, cells: Iterable[object], readers: Mapping[str, Reader]) -> GenerationCodec:
        """Train the tokenizer on the texts, or on 200,000 of them, evenly spread."""
        texts = _texts(cells)
        if not any(text.strip() for text in texts):
            raise DataError("no training row has a text to learn from; name the right column, or leave the task out")
        if len(texts) > TEXTS_SAMPLED:
            texts = [texts[int(place)] for place in np.linspace(0, len(texts) - 1, TEXTS_SAMPLED)]
        tokenizer = Tokenizer.train(texts, vocabulary=self.vocabulary, lowercase=self.lowercase)
        lengths = [len(tokenizer.encode(text)) + 1 for text in texts]
        auto = min(LONGEST, max(SHORTEST, 2 * int(np.ceil(np.quantile(lengths, 0.99)))))
        return GenerationCodec(tokenizer=tokenizer, max_tokens=auto if self.max_tokens == "auto" else self.max_tokens)

    def restore(self, state: dict[str, Any]) -> GenerationCodec:
        """The codec of a bundle."""
        return GenerationCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """With the length that was fitted."""
        assert isinstance(codec, GenerationCodec)
        return self.model_copy(update={"max_tokens": codec.max_tokens})

    def build(self, codec: Codec, input_width: int, sources: Mapping[str, Source]) -> GenerationHead:
        """A decoder that reads these inputs."""
        assert isinstance(codec, GenerationCodec)
        decoder = Decoder(
            self.width,
            layers=self.layers,
            heads=self.heads,
            num_ids=codec.num_ids,
            longest=codec.max_tokens,
            dropout=self.dropout,
        )
        return GenerationHead(
            input_width,
            sources={name: source.width for name, source in sources.items()},
            decoder=decoder,
            smoothing=self.smoothing,
            method=self.search.build(),
            chance=self.search.seed if isinstance(self.search, Sample) else 0,
        )

    def loss(self, output: Float[Tensor, "B L"], target: Cells) -> Float[Tensor, "B"]:
        """The mean over each labelled row's ids of what the head says of them."""
        return labelled_loss(_mean_over_ids, output, target)


def _mean_over_ids(output: Tensor, label: Tensor) -> Tensor:
    """`label` may be longer than what was learned from."""
    there = label[:, : output.shape[1]] != HIDDEN
    return torch.where(there, output, 0.0).sum(dim=1) / there.sum(dim=1).clamp(min=1)


def _texts(cells: Iterable[object]) -> list[str]:
    """Cells that are no text are passed over: who reads the rows reports them, with their place."""
    texts = []
    for cell in cells:
        try:
            texts.append(text_of(label_of(cell)))
        except CellError:
            continue
    return texts
