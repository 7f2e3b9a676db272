"""The Spec of tasks that write down what is said."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.core.errors import CellError, DataError
from motet.core.flow import Cells, Reader
from motet.tasks.base import Codec
from motet.tasks.losses import labelled_loss
from motet.tasks.part import PartTask, Source, input_to_read
from motet.tasks.transcription.codec import TranscriptionCodec, symbols_of
from motet.tasks.transcription.head import TranscriptionHead


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
        symbols: set[str] = set()
        for cell in cells:
            try:
                symbols.update(symbols_of(cell, self.unit, lowercase=self.lowercase))
            except CellError:
                continue
        if not symbols:
            raise DataError("no training row has a text; name the right column, or leave the task out")
        return TranscriptionCodec(symbols=tuple(sorted(symbols)), unit=self.unit, lowercase=self.lowercase)

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
