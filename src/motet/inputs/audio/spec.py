"""What the user writes of a sound, how it is fitted, and which encoder reads it."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt

from motet import media
from motet.core.component import ComponentSpec, shorthand
from motet.core.errors import SpecError
from motet.inputs.audio.encoder import AudioEncoder
from motet.inputs.audio.mfcc import MFCC, MFCCEncoder, MFCCPreparation
from motet.inputs.audio.preparation import AudioPreparation, samples_of
from motet.inputs.audio.pretrained import PretrainedAudioPreparation, preparation_of
from motet.inputs.base import Preparation, readable, spread
from motet.inputs.pretrained import MayBePretrained, Pretrained, PretrainedEncoder, config_of, family_of

WIDTH = 128
"""Of the tokens of encoders that are trained from scratch."""
MASK = 0.1  # of an "auto" mask, where a cnn reads
HIGHEST_RATE = 16_000  # of an "auto" rate
LONGEST_SECONDS = 10.0  # of an "auto" length
SOUNDS_SAMPLED = 256
SMALLEST_DEVIATION = 0.1  # of a band, in log power: one that is always silent stays near zero


class FrameConvolutions(ComponentSpec):
    """A small residual CNN over time, trained from scratch, with the input's fields `channels`, `blocks`, `width`."""

    kind: Literal["cnn"] = "cnn"
    paper: ClassVar[str] = "He et al., Deep Residual Learning for Image Recognition, CVPR 2016"


AnyAudioEncoder = Annotated[
    Annotated[FrameConvolutions | Pretrained | MFCC, Field(discriminator="kind")], BeforeValidator(shorthand)
]


class Audio(MayBePretrained):
    """Sound: a small residual CNN over a log-mel spectrogram, statistics of it (mfcc), or a pretrained model.

    A pretrained model's extractor says the rate and the spectrogram; `rate`, `mels`, `window` and `hop` are of the
    others, `channels` and `blocks` of a cnn.
    """

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
    mask: Annotated[float, Field(ge=0, lt=1)] | Literal["auto"] = Field(
        default="auto",
        description="SpecAugment: longest run hidden, as a fraction of frames or bands (0 to <1); auto: 0.1 of a cnn, "
        "else 0, so that what a frozen model says is found once.",
    )
    shift: float = Field(
        default=0.0, ge=0, lt=1, description="Moved in time in training, at most by this fraction of the sound."
    )
    encoder: AnyAudioEncoder = Field(
        default=FrameConvolutions(), description="cnn, mfcc, or pretrained, with its fields."
    )
    channels: int = Field(default=64, ge=1, description="Channels of the residual blocks of a cnn.")
    blocks: int = Field(default=2, ge=1, description="Residual blocks of a cnn.")
    width: PositiveInt | Literal["auto"] = Field(
        default="auto", description="Width of the tokens; auto: 128, or that of a pretrained model."
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout before the last projection.")

    def fit(self, cells: Iterable[object]) -> AudioPreparation | MFCCPreparation | PretrainedAudioPreparation:
        """Rate, length, mean and deviation from up to 256 sounds, evenly spread.

        >>> Audio().fit([(np.zeros(800, dtype=np.float32), 8000)]).rate
        8000
        """
        sample = spread(list(cells), SOUNDS_SAMPLED)
        if self.pretrained is not None:
            return self._fit_pretrained(self.pretrained, sample)
        auto_rate = min(HIGHEST_RATE, round(float(np.median(readable(sample, media.sound_rate)))))
        rate = auto_rate if self.rate == "auto" else self.rate
        sounds = readable(sample, lambda cell: samples_of(cell, rate=rate))
        one = self._fit_frames(sounds, rate)
        if not isinstance(self.encoder, MFCC):
            return one
        if self.encoder.coefficients > one.mels:
            raise SpecError(f"encoder.coefficients ({self.encoder.coefficients}) are more than the bands ({one.mels})")
        unscaled = MFCCPreparation(frames=one, coefficients=self.encoder.coefficients)
        return unscaled.fitted([one.spectrogram(sound) for sound in sounds])

    def restore(self, state: dict[str, Any]) -> AudioPreparation | MFCCPreparation | PretrainedAudioPreparation:
        """The preparation a bundle holds."""
        if self.pretrained is not None:
            return PretrainedAudioPreparation.model_validate(state)
        if isinstance(self.encoder, MFCC):
            return MFCCPreparation.model_validate(state)
        return AudioPreparation.model_validate(state)

    def resolved(self, preparation: Preparation) -> Self:
        """With the rate, length and bands that were fitted."""
        one = preparation.frames if isinstance(preparation, MFCCPreparation) else preparation
        assert isinstance(one, AudioPreparation | PretrainedAudioPreparation)
        bands = one.mels if isinstance(one, AudioPreparation) else one.bands
        own = one.width if isinstance(one, PretrainedAudioPreparation) else WIDTH
        fitted = {"rate": one.rate, "seconds": one.seconds, "mels": bands or self._mels(one.rate), "mask": one.mask}
        return self.model_copy(update={**fitted, "width": own if self.width == "auto" else self.width})

    def trained_as(self, preparation: Preparation) -> Preparation:
        """With `mask` and `shift` as they are here, of mfcc those of the frames."""
        if isinstance(preparation, MFCCPreparation):
            return preparation.model_copy(update={"frames": super().trained_as(preparation.frames)})
        return super().trained_as(preparation)

    def build(self, preparation: Preparation) -> AudioEncoder | MFCCEncoder | PretrainedEncoder:
        """A fresh encoder for sounds prepared so."""
        if isinstance(preparation, PretrainedAudioPreparation):
            assert self.pretrained is not None
            own = None if self.width == "auto" else self.width
            return self.pretrained.build(preparation.config, "audio", width=own, dropout=self.dropout)
        width = WIDTH if self.width == "auto" else self.width
        if isinstance(preparation, MFCCPreparation):
            return MFCCEncoder(coefficients=preparation.coefficients, width=width, dropout=self.dropout)
        assert isinstance(preparation, AudioPreparation)
        return AudioEncoder(
            mels=preparation.mels, channels=self.channels, blocks=self.blocks, width=width, dropout=self.dropout
        )

    def _fit_pretrained(self, encoder: Pretrained, sample: Sequence[object]) -> PretrainedAudioPreparation:
        _, config = family_of(config_of(encoder.model), "audio")
        mask = 0.0 if self.mask == "auto" else self.mask
        one = preparation_of(encoder.model, config, seconds=LONGEST_SECONDS, mask=mask, shift=self.shift)
        sounds = readable(sample, lambda cell: samples_of(cell, rate=one.rate))
        return one.model_copy(update={"seconds": self._seconds([len(sound) for sound in sounds], one.rate)})

    def _fit_frames(self, sounds: Sequence[np.ndarray], rate: int) -> AudioPreparation:
        unscaled = AudioPreparation(
            rate=rate,
            seconds=self._seconds([len(sound) for sound in sounds], rate),
            mels=self._mels(rate),
            window=max(2, round(self.window * rate / 1000)),
            hop=max(1, round(self.hop * rate / 1000)),
            mask=(0.0 if isinstance(self.encoder, MFCC) else MASK) if self.mask == "auto" else self.mask,
            shift=self.shift,
            mean=(),
            deviation=(),
        )
        frames = np.concatenate([unscaled.spectrogram(sound) for sound in sounds]).astype(np.float64)
        deviation = np.maximum(frames.std(axis=0), SMALLEST_DEVIATION)
        return unscaled.model_copy(
            update={"mean": tuple(frames.mean(axis=0).tolist()), "deviation": tuple(deviation.tolist())}
        )

    def _seconds(self, lengths: Sequence[int], rate: int) -> float:
        auto = min(LONGEST_SECONDS, float(np.quantile(lengths, 0.99)) / rate)
        return auto if self.seconds == "auto" else self.seconds

    def _mels(self, rate: int) -> int:
        return (64 if rate >= HIGHEST_RATE else 40) if self.mels == "auto" else self.mels
