"""Writing down what is said in a sound: connectionist temporal classification over its tokens.

B rows, T tokens of the sound, V symbols and the blank, L symbols of a label.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn

from motet.core.checks import text_of
from motet.core.errors import CellError, DataError
from motet.core.flow import Cells, Reader
from motet.nn import BidirectionalGRU, Dropout, hide
from motet.nn.ctc import ctc_loss
from motet.nn.ctc_search import ctc_prefix_search
from motet.tasks.base import Codec, Metric
from motet.tasks.labels import label_of
from motet.tasks.losses import labelled_loss
from motet.tasks.metrics import metric_of_counts
from motet.tasks.part import PartHead, PartTask, Reading, Source, input_to_read
from motet.text import edit_counts, edit_rate_of

PADDING, ABSENT = -1, -2
"""Behind the last symbol; and in the first place of an answer where there was nothing to listen to."""
UNKNOWN = "\N{REPLACEMENT CHARACTER}"


class TranscriptionCodec(Codec):
    """Target and output `[B, L]`: the numbers of the symbols, from 1, padded with -1; the blank, 0, is in neither.

    Symbols are characters, or words, of the training rows. Text is taken with single spaces between its words, and
    none around them, in labels and in answers. A symbol that no training row has is never written: in the truth it
    stands as one character, whatever it is.
    """

    symbols: tuple[str, ...] = Field(min_length=1)
    unit: Literal["character", "word"]
    lowercase: bool

    @cached_property
    def _number(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols, 1)}

    def read(self, cell: object) -> Int64[np.ndarray, "L"]:
        """The numbers of a text's symbols; one that no training row has counts as one that is never written."""
        unknown = len(self.symbols) + 1
        return np.array([self._number.get(one, unknown) for one in self._symbols(cell)], dtype=np.int64)

    def knows(self, cell: object) -> bool:
        """Whether all its symbols are known."""
        return all(one in self._number for one in self._symbols(cell))

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": int64 [n, L]}`."""
        target = np.full((len(items), max(1, *map(len, items))), PADDING, dtype=np.int64)
        for row, item in zip(target, items, strict=True):
            row[: len(item)] = item
        return {"target": torch.from_numpy(target)}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        """The text; None where there was no sound."""
        rows = output.cpu().tolist()
        return {"": [None if row[:1] == [ABSENT] else self._joined(row) for row in rows]}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """Itself."""
        return self

    def metrics(self) -> tuple[Metric, ...]:
        """Edits per character (cer) and per word (wer) of the truth; lower is better."""
        return (
            metric_of_counts("cer", self._character_edits, edit_rate_of, higher_is_better=False),
            metric_of_counts("wer", self._word_edits, edit_rate_of, higher_is_better=False),
        )

    def prior(self, target: Tensor) -> Tensor:
        """The log frequencies `[V]` of the symbols, half a symbol added to each."""
        known = target[(target > 0) & (target <= len(self.symbols))]
        counts = torch.bincount(known - 1, minlength=len(self.symbols)) + 0.5
        return torch.log(counts / counts.sum())

    def trivial(self, prior: Tensor, target: Tensor) -> Tensor:
        """Nothing, which is wrong once per symbol: whatever else is said is hardly better."""
        return torch.full((target.shape[0], 1), PADDING)

    def certain(self, target: Tensor) -> Tensor:
        """The symbols."""
        return target

    def _symbols(self, cell: object) -> list[str]:
        return symbols_of(cell, self.unit, lowercase=self.lowercase)

    def _joined(self, row: Sequence[int]) -> str:
        between = " " if self.unit == "word" else ""
        return " ".join(between.join(self._symbol(number) for number in row if number > 0).split())

    def _symbol(self, number: int) -> str:
        return self.symbols[number - 1] if number <= len(self.symbols) else UNKNOWN

    def _texts(self, output: Tensor, target: Tensor) -> list[tuple[str, str]]:
        pairs = zip(output.cpu().tolist(), target.cpu().tolist(), strict=True)
        return [(self._joined(said), self._joined(true)) for said, true in pairs]

    def _character_edits(self, output: Tensor, target: Tensor) -> np.ndarray:
        return np.stack([edit_counts(said, true) for said, true in self._texts(output, target)])

    def _word_edits(self, output: Tensor, target: Tensor) -> np.ndarray:
        return np.stack([edit_counts(said.split(), true.split()) for said, true in self._texts(output, target)])


class TranscriptionHead(PartHead):
    """Tokens of a sound and the row's features -> recurrent layers -> a symbol or the blank for each token.

        z_t = W GRU(P x_t + Q f)_t + b        over t, with x_t the tokens, f the row's features

    >>> from motet.core.flow import Tokens
    >>> head = TranscriptionHead(input="speech", source_width=6, input_width=4, num_symbols=10, width=8, layers=1)
    >>> tokens = Tokens(torch.zeros(2, 5, 6), torch.ones(2, 5, dtype=torch.bool), torch.ones(2, dtype=torch.bool))
    >>> head.answer(Reading(torch.zeros(2, 4), {"speech": tokens})).shape[0]
    2
    """

    def __init__(
        self,
        *,
        input: str,
        source_width: int,
        input_width: int,
        num_symbols: int,
        width: int = 128,
        layers: int = 1,
        dropout: float = 0.0,
        beam: int = 8,
    ) -> None:
        super().__init__()
        self.input, self.beam = input, beam
        self.tokens = nn.Linear(source_width, width)
        self.features = nn.Linear(input_width, width)
        self.layers = nn.ModuleList(BidirectionalGRU(width, width=width) for _ in range(layers))
        self.dropout = nn.ModuleList(Dropout(dropout) for _ in range(layers))
        self.symbols = nn.Linear(width, num_symbols + 1)

    def forward(self, reading: Reading, target: Cells) -> Float[Tensor, "B"]:
        """The loss of each row: `-log p(label) / L`, p summed over all ways to say it in T tokens (`ctc_loss`).

        A label that can not be written costs nothing: one with more symbols than tokens, or one never seen in fitting.
        """
        labels = target.values["target"]
        known = (labels < self.symbols.out_features).all(dim=1, keepdim=True)
        logits, mask = self._logits(reading)
        return ctc_loss(logits, mask & known, labels)

    @torch.no_grad()
    def answer(self, reading: Reading) -> Int64[Tensor, "B L"]:
        """The likeliest symbols that a beam search finds."""
        logits, mask = self._logits(reading)
        found = ctc_prefix_search(logits.log_softmax(dim=2), mask, width=self.beam)
        nothing = torch.full((found.shape[0], 1), PADDING, device=found.device)
        said = torch.cat([found, nothing], dim=1)
        absent = torch.where(torch.arange(said.shape[1], device=said.device) == 0, ABSENT, PADDING)
        return torch.where(reading.tokens[self.input].present[:, None], said, absent)

    def start_from(self, prior: Tensor) -> None:
        """The symbols by their frequency, the blank as likely as all of them."""
        with torch.no_grad():
            self.symbols.bias.copy_(torch.cat([prior.new_zeros(1), prior]))

    def _logits(self, reading: Reading) -> tuple[Float[Tensor, "B T V+1"], Bool[Tensor, "B T"]]:
        """For every token, and which there are: none that stands for an absent sound."""
        tokens = reading.tokens[self.input]
        mask = tokens.mask & tokens.present[:, None]
        x = self.tokens(hide(tokens.values, mask)) + self.features(reading.features)[:, None]
        for layer, dropout in zip(self.layers, self.dropout, strict=True):
            x = dropout(layer(x, mask))
        return self.symbols(x), mask


class Transcription(PartTask):
    """Write down what is said in a sound, from labels that do not say when.

    loss = -log p(label) / L by CTC. Where a label has more symbols than its sound has tokens (25 a second, with the
    defaults of an audio input) it can not be learned, and costs nothing; words as symbols are fewer.

    >>> Transcription().reading({"speech": "audio", "age": "number"}).reads
    ('speech',)
    """

    paper: ClassVar[str] = "Graves et al., Connectionist Temporal Classification, ICML 2006"
    metric_names: ClassVar[tuple[str, ...]] = ("cer", "wer")

    kind: Literal["transcription"] = "transcription"
    of: str | None = Field(default=None, description="The sound; found by itself where there is one.")
    unit: Literal["character", "word"] = Field(default="character", description="What is written one after the other.")
    lowercase: bool = Field(default=False, description="Lower-case every label first.")
    width: int = Field(default=128, ge=2, multiple_of=2, description="Width of the recurrent layers.")
    layers: int = Field(default=1, ge=0, description="Recurrent layers over the tokens; 0: none.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout behind each recurrent layer.")
    beam: int = Field(default=8, ge=1, description="Prefixes that are followed while searching for the likeliest text.")

    @property
    def reads(self) -> tuple[str, ...]:
        """The sound."""
        assert self.of is not None, "the inputs it reads are not written out"
        return (self.of,)

    def reading(self, kinds: Mapping[str, str]) -> Self:
        """With the sound by name."""
        return self.model_copy(update={"of": input_to_read(self.of, kinds, ("audio",), word=self.kind, field="of")})

    def fit(self, cells: Iterable[object], readers: Mapping[str, Reader]) -> TranscriptionCodec:
        """Collect the symbols; `DataError` where no training row has any."""
        counts: Counter[str] = Counter()
        for cell in cells:
            try:
                counts.update(symbols_of(cell, self.unit, lowercase=self.lowercase))
            except CellError:
                continue
        if not counts:
            raise DataError("no training row has a text; name the right column, or leave the task out")
        return TranscriptionCodec(symbols=tuple(sorted(counts)), unit=self.unit, lowercase=self.lowercase)

    def restore(self, state: dict[str, Any]) -> TranscriptionCodec:
        """The codec of a bundle."""
        return TranscriptionCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """Itself: nothing is left to be found."""
        return self

    def build(self, codec: Codec, input_width: int, sources: Mapping[str, Source]) -> TranscriptionHead:
        """A head over the tokens of the sound."""
        assert isinstance(codec, TranscriptionCodec)
        (name,) = self.reads
        return TranscriptionHead(
            input=name,
            source_width=sources[name].width,
            input_width=input_width,
            num_symbols=len(codec.symbols),
            width=self.width,
            layers=self.layers,
            dropout=self.dropout,
            beam=self.beam,
        )

    def loss(self, output: Float[Tensor, "B"], target: Cells) -> Float[Tensor, "B"]:
        """What the head has found for each labelled row."""
        return labelled_loss(lambda found, _: found, output, target)


def symbols_of(cell: object, unit: str, *, lowercase: bool) -> list[str]:
    """The characters or words of a text, runs of spaces taken for one; `CellError` for what is no plain value.

    >>> symbols_of(" On  it", "character", lowercase=True)
    ['o', 'n', ' ', 'i', 't']
    """
    words = text_of(label_of(cell)).split()
    words = [word.lower() for word in words] if lowercase else words
    return words if unit == "word" else list(" ".join(words))
