"""Sounds of one rate as log-mel frames, and what is moved or hidden of a sound in training.

Shapes: S samples, F frames, M mel bands.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from motet import media
from motet.inputs.base import Preparation, noisy

MASKS = 2  # of either kind, as in SpecAugment's policies


class SoundPreparation(Preparation, ABC):
    """One rate for every sound, where sounds are cut off, and how far they are hidden and moved in training."""

    rate: int
    seconds: float
    mask: float
    shift: float = 0.0

    @property
    def varies(self) -> bool:
        """Whether sounds are moved, or parts of them hidden, in training."""
        return bool(self.variations)

    @property
    def variations(self) -> Mapping[str, object]:
        """`mask` and `shift`, where they are more than 0."""
        return {name: 0 for name in ("mask", "shift") if getattr(self, name) > 0}

    @abstractmethod
    def read(self, cell: object) -> Float32[np.ndarray, "F *M"]:
        """Decode, resample, cut off."""

    def samples(self, cell: object) -> Float32[np.ndarray, "S"]:
        """Decode, resample, and the first `seconds`."""
        return self.cut(samples_of(cell, rate=self.rate))

    def cut(self, samples: Float32[np.ndarray, "S"]) -> Float32[np.ndarray, "S"]:
        """The first `seconds`."""
        return samples[: round(self.seconds * self.rate)]


class AudioPreparation(SoundPreparation):
    """One spectrogram for every sound, and each band's mean and deviation."""

    mels: int
    window: int
    hop: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def read(self, cell: object) -> Float32[np.ndarray, "F M"]:
        """Decode, resample, cut off, log-mel spectrogram; at least one frame."""
        return self.spectrogram(samples_of(cell, rate=self.rate))

    def spectrogram(self, samples: Float32[np.ndarray, "S"]) -> Float32[np.ndarray, "F M"]:
        """The log-mel spectrogram of the first `seconds`."""
        return media.log_mel(self.cut(samples), rate=self.rate, window=self.window, hop=self.hop, mels=self.mels)

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Moved in time, then in part hidden, where both times silence is the mean of each band."""
        return varied(item, self._norm[0], generator, shift=self.shift, mask=self.mask)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"frames": [n, F, M], "mask": [n, F]}`, each band standardised, zeros behind the end."""
        lengths = np.array([len(item) for item in items])
        mask = np.arange(lengths.max()) < lengths[:, None]
        frames = np.zeros((*mask.shape, self.mels), dtype=np.float32)
        mean, deviation = self._norm
        frames[mask] = (np.concatenate(items) - mean) / deviation
        return {"frames": torch.from_numpy(frames), "mask": torch.from_numpy(mask)}

    def blank(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Silence, as long."""
        mean, deviation = self._norm
        silence = (self.spectrogram(np.zeros(self.window, dtype=np.float32))[0] - mean) / deviation
        mask = values["mask"]
        return {"frames": torch.where(mask[:, :, None], torch.from_numpy(silence).to(mask.device), 0.0), "mask": mask}

    def distorted(
        self, item: np.ndarray, level: float, generator: np.random.Generator, *, other: np.ndarray
    ) -> np.ndarray:
        """Each number plus normal noise of `level` times the deviation of its band."""
        return noisy(item, level * np.array(self.deviation), generator)

    @cached_property
    def _norm(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.mean, dtype=np.float32), np.array(self.deviation, dtype=np.float32)


def varied(
    item: Float[np.ndarray, "F *M"],
    mean: Float[np.ndarray, "*M"],
    generator: np.random.Generator,
    *,
    shift: float,
    mask: float,
) -> Float[np.ndarray, "F *M"]:
    """A copy of the frames, or of the samples, moved by `shift` and hidden in part by `mask`; nothing is drawn for a 0.

    >>> float(varied(np.ones((4, 2)), np.zeros(2), np.random.default_rng(0), shift=0.0, mask=0.0).sum())
    8.0
    """
    item = moved(item, mean, generator, shift=shift) if shift else item.copy()
    return hidden(item, mean, generator, mask=mask) if mask else item


def moved(
    item: Float[np.ndarray, "F *M"], mean: Float[np.ndarray, "*M"], generator: np.random.Generator, *, shift: float
) -> Float[np.ndarray, "F *M"]:
    """Earlier or later by any number of frames up to the part `shift` of them, `mean` where the sound has left.

    What is moved beyond an end is lost; the sound stays as long as it was.
    """
    most = int(shift * len(item))
    step = int(generator.integers(-most, most + 1))
    later = np.empty_like(item)
    later[:] = mean
    if step >= 0:
        later[step:] = item[: len(item) - step]
    else:
        later[:step] = item[-step:]
    return later


def hidden(
    item: Float[np.ndarray, "F *M"], mean: Float[np.ndarray, "*M"], generator: np.random.Generator, *, mask: float
) -> Float[np.ndarray, "F *M"]:
    """SpecAugment (Park et al., Interspeech 2019), in place: two runs of frames and two of bands are set to the mean.

    A run is as long as chance has it, from nothing to the fraction `mask` of the whole. Samples have no bands.
    Deviation: no time warp.
    """
    for _ in range(MASKS):
        runs = [_run(size, generator, mask) for size in item.shape]
        item[runs[0]] = mean
        if item.ndim == 2:
            item[:, runs[1]] = mean[runs[1]]
    return item


def samples_of(cell: object, *, rate: int) -> Float32[np.ndarray, "S"]:
    """The samples of a sound at this rate.

    >>> samples_of((np.zeros(800, dtype=np.float32), 8000), rate=16000).shape
    (1600,)
    """
    samples, own_rate = media.sound(cell)
    return media.resample(samples, own_rate, rate)


def _run(size: int, generator: np.random.Generator, mask: float) -> slice:
    length = int(generator.integers(0, int(mask * size) + 1))
    start = int(generator.integers(0, size - length + 1))
    return slice(start, start + length)
