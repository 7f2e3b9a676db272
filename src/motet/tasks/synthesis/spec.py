"""The Spec of tasks that speak."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from motet import media
from motet.core.checks import did_you_mean
from motet.core.errors import CellError, DataError, SpecError
from motet.core.flow import Cells, Reader
from motet.tasks.base import Codec
from motet.tasks.losses import labelled_loss
from motet.tasks.part import PartTask, Source
from motet.tasks.synthesis.codec import SynthesisCodec, samples_of
from motet.tasks.synthesis.head import SynthesisHead

HIGHEST_RATE = 16_000  # of an "auto" rate
LONGEST_SECONDS = 10.0  # of an "auto" length
SOUNDS_SAMPLED = 256
SMALLEST_DEVIATION = 0.1  # of a band, in log power: one that is always silent stays near zero
T = TypeVar("T")


class Synthesis(PartTask):
    """Speak: make a sound, such as a text read aloud; the labels are sounds.

    loss = mean over the F frames of the label and the M bands of |y - t| + (y - t)^2
           + mean over all frames up to the longest of the cross-entropy of "it still sounds"

    with y, t the standardised log-mel frames, said and true. As in Tacotron 2 a spectrogram is learned, with an end
    told frame by frame, and as in FastSpeech all frames are said at once by blocks of attention. Deviations: no frame
    hears what was said before it, as in Tacotron; tokens are not given durations, as in FastSpeech, but every frame
    attends to them, so that the spectrogram is the mean of what is possible and blurs where speakers take different
    times; Griffin & Lim's algorithm makes the sound, and no WaveNet or other learned vocoder.

    >>> task = Synthesis().reading({"line": "text", "speaker": "category"})
    >>> task.reads
    ('line', 'speaker')
    >>> codec = task.fit([(np.sin(np.arange(4000.0)), 8000)], {})
    >>> codec.rate, codec.seconds, codec.batch([codec.read((np.zeros(800), 8000))])["target"].shape
    (8000, 0.5, torch.Size([1, 8, 41]))
    """

    paper: ClassVar[str] = (
        "Shen et al., Natural TTS Synthesis (Tacotron 2), ICASSP 2018; Ren et al., FastSpeech, NeurIPS 2019"
    )
    metric_names: ClassVar[tuple[str, ...]] = ("mse",)
    media: ClassVar[bool] = True
    needs_all: ClassVar[bool] = False
    answers_are_labels: ClassVar[bool] = False

    kind: Literal["synthesis"] = "synthesis"
    of: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="The inputs whose tokens it reads, e.g. [line]; all when left out."
    )
    rate: PositiveInt | Literal["auto"] = Field(
        default="auto", description="Samples per second; the files' median, at most 16,000, if 'auto'."
    )
    seconds: PositiveFloat | Literal["auto"] = Field(
        default="auto",
        description="Where a sound is cut off; the 99th percentile of the training sounds, at most 10, if 'auto'.",
    )
    mels: PositiveInt | Literal["auto"] = Field(
        default="auto", description="Mel bands; 64, or 40 at rates below 16,000, if 'auto'."
    )
    window: float = Field(default=25.0, gt=0, description="Milliseconds of a frame.")
    hop: float = Field(default=10.0, gt=0, description="Milliseconds from one frame to the next.")
    step: int = Field(default=4, ge=1, description="Frames that are said together.")
    width: int = Field(default=128, ge=2, description="Width of the blocks.")
    layers: int = Field(default=2, ge=1, description="Blocks, each of attention to itself and to the inputs.")
    heads: int = Field(default=4, ge=1, description="Heads of their attention; they divide the width.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout of the blocks.")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"the {self.heads} heads of the blocks must divide their width {self.width}")
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

    def fit(self, cells: Iterable[object], readers: Mapping[str, Reader]) -> SynthesisCodec:
        """Rate, length, mean and deviation from up to 256 sounds, evenly spread."""
        sample = _spread(list(cells))
        auto_rate = min(HIGHEST_RATE, round(float(np.median(_readable(sample, media.sound_rate)))))
        rate = auto_rate if self.rate == "auto" else self.rate
        sounds = _readable(sample, lambda cell: samples_of(cell, rate=rate))
        auto_seconds = min(LONGEST_SECONDS, float(np.quantile([len(sound) for sound in sounds], 0.99)) / rate)
        unscaled = SynthesisCodec(
            rate=rate,
            seconds=auto_seconds if self.seconds == "auto" else self.seconds,
            mels=(64 if rate >= HIGHEST_RATE else 40) if self.mels == "auto" else self.mels,
            window=max(2, round(self.window * rate / 1000)),
            hop=max(1, round(self.hop * rate / 1000)),
        )
        frames = np.concatenate([unscaled.spectrogram(sound) for sound in sounds]).astype(np.float64)
        deviation = np.maximum(frames.std(axis=0), SMALLEST_DEVIATION)
        return unscaled.model_copy(
            update={"mean": tuple(frames.mean(axis=0).tolist()), "deviation": tuple(deviation.tolist())}
        )

    def restore(self, state: dict[str, Any]) -> SynthesisCodec:
        """The codec of a bundle."""
        return SynthesisCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """With the rate, length and bands that were fitted."""
        assert isinstance(codec, SynthesisCodec)
        return self.model_copy(update={"rate": codec.rate, "seconds": codec.seconds, "mels": codec.mels})

    def build(self, codec: Codec, input_width: int, sources: Mapping[str, Source]) -> SynthesisHead:
        """A head that reads these inputs."""
        assert isinstance(codec, SynthesisCodec)
        return SynthesisHead(
            input_width,
            sources={name: source.width for name, source in sources.items()},
            mels=codec.mels,
            longest=codec.longest,
            step=self.step,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            dropout=self.dropout,
        )

    def loss(self, output: Float[Tensor, "B F M+1"], target: Cells) -> Float[Tensor, "B"]:
        """How far each labelled row's frames and end are from the label's."""
        return labelled_loss(_far, output, target)


def _far(output: Float[Tensor, "B F M+1"], label: Float[Tensor, "B f M+1"]) -> Float[Tensor, "B"]:
    there = label[:, :, -1] > 0
    error = output[:, : label.shape[1], :-1] - label[:, :, :-1]
    of_frame = torch.where(there, (error.abs() + error**2).mean(dim=2), 0.0)
    sounds = F.pad(label[:, :, -1], (0, output.shape[1] - label.shape[1]))
    end = F.binary_cross_entropy_with_logits(output[:, :, -1], sounds, reduction="none")
    return of_frame.sum(dim=1) / there.sum(dim=1).clamp(min=1) + end.mean(dim=1)


def _spread(cells: list[object]) -> list[object]:
    """Some of the cells, evenly spread."""
    if len(cells) <= SOUNDS_SAMPLED:
        return cells
    return [cells[int(place)] for place in np.linspace(0, len(cells) - 1, SOUNDS_SAMPLED)]


def _readable(cells: Iterable[object], read: Callable[[object], T]) -> list[T]:
    """What `read` makes of every cell it does not refuse: who reads the rows reports the others, with their place."""
    found = []
    for cell in cells:
        try:
            found.append(read(cell))
        except CellError:
            continue
    if not found:
        raise DataError("no training row has a sound that can be read; name the right column, or leave the task out")
    return found
