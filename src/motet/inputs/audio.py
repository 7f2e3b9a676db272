"""Sound: log-mel spectrogram, SpecAugment, and a small residual CNN whose tokens follow one another in time.

Shapes: N rows, F frames, M mel bands, T tokens, D width.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from motet import media
from motet.core.flow import Tokens
from motet.inputs.base import Encoder, InputSpec, Preparation, readable, spread
from motet.nn import Dropout, FrameBlock, FrameConv, hide

HIGHEST_RATE = 16_000  # of an "auto" rate
LONGEST_SECONDS = 10.0  # of an "auto" length
SOUNDS_SAMPLED = 256
SMALLEST_DEVIATION = 0.1  # of a band, in log power: one that is always silent stays near zero
SPARE_FRAMES = 8  # blank ones behind each sound, in a graph that is compiled or exported
MASKS = 2  # of either kind, as in SpecAugment's policies


class AudioPreparation(Preparation):
    """One rate and one spectrogram for every sound, where sounds are cut off, and each band's mean and deviation."""

    rate: int
    seconds: float
    mels: int
    window: int
    hop: int
    mask: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def varies(self) -> bool:
        """Whether parts are hidden in training."""
        return self.mask > 0

    def read(self, cell: object) -> Float32[np.ndarray, "F M"]:
        """Decode, resample, cut off, log-mel spectrogram; at least one frame."""
        return self.spectrogram(samples_of(cell, rate=self.rate))

    def spectrogram(self, samples: Float32[np.ndarray, "S"]) -> Float32[np.ndarray, "F M"]:
        """The log-mel spectrogram of the first `seconds`."""
        samples = samples[: round(self.seconds * self.rate)]
        return media.log_mel(samples, rate=self.rate, window=self.window, hop=self.hop, mels=self.mels)

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """SpecAugment (Park et al., Interspeech 2019): two runs of frames and two of bands are set to the band's mean.

        A run is as long as chance has it, from nothing to the fraction `mask` of the whole. Deviation: no time warp.
        """
        item, mean = item.copy(), self._norm[0]
        for _ in range(MASKS):
            frames, bands = (self._run(size, generator) for size in item.shape)
            item[frames] = mean
            item[:, bands] = mean[bands]
        return item

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"frames": [n, F, M], "mask": [n, F]}`, each band standardised, zeros behind the end."""
        lengths = np.array([len(item) for item in items])
        mask = np.arange(lengths.max()) < lengths[:, None]
        frames = np.zeros((*mask.shape, self.mels), dtype=np.float32)
        mean, deviation = self._norm
        frames[mask] = (np.concatenate(items) - mean) / deviation
        return {"frames": torch.from_numpy(frames), "mask": torch.from_numpy(mask)}

    def _run(self, size: int, generator: np.random.Generator) -> slice:
        length = int(generator.integers(0, int(self.mask * size) + 1))
        start = int(generator.integers(0, size - length + 1))
        return slice(start, start + length)

    @cached_property
    def _norm(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.mean, dtype=np.float32), np.array(self.deviation, dtype=np.float32)


class AudioEncoder(Encoder):
    """A residual CNN over time, the bands of the spectrogram as its first channels; every fourth frame is a token.

    >>> encoder = AudioEncoder(mels=40, channels=32, blocks=2, width=64, dropout=0.0)
    >>> values = {"frames": torch.zeros(2, 38, 40), "mask": torch.ones(2, 38, dtype=torch.bool)}
    >>> encoder(values).values.shape
    torch.Size([2, 10, 64])
    """

    def __init__(self, *, mels: int, channels: int, blocks: int, width: int, dropout: float) -> None:
        super().__init__()
        self.output_width = width
        self.stem = FrameConv(mels, channels, kernel=5, stride=2)
        strides = [2] + [1] * (blocks - 1)
        self.blocks = nn.ModuleList(FrameBlock(channels, channels, stride=stride) for stride in strides)
        self.dropout = Dropout(dropout)
        self.project = nn.Linear(channels, width)

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`frames [N, F, M]`, `mask [N, F]` -> `[N, T, D]`."""
        frames, mask = values["frames"], values["mask"]
        if torch.compiler.is_compiling():  # of one frame left by the strides it would be a special case
            frames, mask = F.pad(frames, [0, 0, 0, SPARE_FRAMES]), F.pad(mask, [0, SPARE_FRAMES])
        x: Float[Tensor, "N F C"] = F.relu(self.stem(hide(frames, mask)))
        mask = mask[:, ::2]
        for block in self.blocks:
            x = block(x, mask)
            mask = mask[:, :: block.stride]
        tokens = hide(self.project(self.dropout(x)), mask)
        return Tokens(tokens, mask, mask[:, 0])


class Audio(InputSpec):
    """Sound: a small residual CNN over a log-mel spectrogram, trained from scratch."""

    kind: Literal["audio"] = "audio"
    paper: ClassVar[str] = "Park et al., SpecAugment, Interspeech 2019"
    media: ClassVar[bool] = True
    shown_as = "sound"
    several: ClassVar[bool] = False
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
    mask: float = Field(
        default=0.1, ge=0, lt=1, description="SpecAugment: longest run hidden, as a fraction of frames or bands."
    )
    channels: int = Field(default=64, ge=1, description="Channels of the residual blocks.")
    blocks: int = Field(default=2, ge=1, description="Residual blocks.")
    width: int = Field(default=128, ge=1, description="Width of the tokens.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout before the last projection.")

    def fit(self, cells: Iterable[object]) -> AudioPreparation:
        """Rate, length, mean and deviation from up to 256 sounds, evenly spread.

        >>> Audio().fit([(np.zeros(800, dtype=np.float32), 8000)]).rate
        8000
        """
        sample = spread(list(cells), SOUNDS_SAMPLED)
        auto_rate = min(HIGHEST_RATE, round(float(np.median(readable(sample, media.sound_rate)))))
        rate = auto_rate if self.rate == "auto" else self.rate
        sounds = readable(sample, lambda cell: samples_of(cell, rate=rate))
        auto_seconds = min(LONGEST_SECONDS, float(np.quantile([len(sound) for sound in sounds], 0.99)) / rate)
        unscaled = AudioPreparation(
            rate=rate,
            seconds=auto_seconds if self.seconds == "auto" else self.seconds,
            mels=(64 if rate >= HIGHEST_RATE else 40) if self.mels == "auto" else self.mels,
            window=max(2, round(self.window * rate / 1000)),
            hop=max(1, round(self.hop * rate / 1000)),
            mask=self.mask,
            mean=(),
            deviation=(),
        )
        frames = np.concatenate([unscaled.spectrogram(sound) for sound in sounds]).astype(np.float64)
        deviation = np.maximum(frames.std(axis=0), SMALLEST_DEVIATION)
        return unscaled.model_copy(
            update={"mean": tuple(frames.mean(axis=0).tolist()), "deviation": tuple(deviation.tolist())}
        )

    def restore(self, state: dict[str, Any]) -> AudioPreparation:
        """The preparation a bundle holds."""
        return AudioPreparation.model_validate(state)

    def resolved(self, preparation: Preparation) -> Self:
        """With the rate, length and bands that were fitted."""
        assert isinstance(preparation, AudioPreparation)
        fitted = {"rate": preparation.rate, "seconds": preparation.seconds, "mels": preparation.mels}
        return self.model_copy(update=fitted)

    def build(self, preparation: Preparation) -> AudioEncoder:
        """A fresh encoder for sounds prepared so."""
        assert isinstance(preparation, AudioPreparation)
        return AudioEncoder(
            mels=preparation.mels, channels=self.channels, blocks=self.blocks, width=self.width, dropout=self.dropout
        )


def samples_of(cell: object, *, rate: int) -> Float32[np.ndarray, "S"]:
    """The samples of a sound at this rate.

    >>> samples_of((np.zeros(800, dtype=np.float32), 8000), rate=16000).shape
    (1600,)
    """
    samples, own_rate = media.sound(cell)
    return media.resample(samples, own_rate, rate)
