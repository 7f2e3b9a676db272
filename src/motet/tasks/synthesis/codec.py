"""Sounds as spectrograms and back, and how far a spectrogram is from the true one.

N rows, F frames, M mel bands, S samples.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from motet import media
from motet.tasks.base import Codec, Metric
from motet.tasks.metrics import metric_of_counts, ratio_of


class SynthesisCodec(Codec):
    """Target and output `[N, F, M + 1]`: log-mel frames, each band standardised, and 1 behind them; padded with 0.

    A label is a sound; what lies behind `seconds` is cut off. `window` and `hop` are in samples. An answer is a WAV
    file whose spectrogram is close to the frames: its phase is found by `motet.media.samples_of_mel`, so that what is
    answered for a label is not that label, though it sounds like it.
    """

    rate: int
    seconds: float
    mels: int
    window: int
    hop: int
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    @property
    def longest(self) -> int:
        """The frames of a sound of `seconds`."""
        return 1 + max(0, round(self.seconds * self.rate) - self.window) // self.hop

    def read(self, cell: object) -> Float32[np.ndarray, "F M+1"]:
        """Decode, resample, cut off; at least one frame."""
        mean, deviation = self._norm
        frames = (self.spectrogram(samples_of(cell, rate=self.rate)) - mean) / deviation
        return np.pad(frames, ((0, 0), (0, 1)), constant_values=1.0)

    def spectrogram(self, samples: Float32[np.ndarray, "S"]) -> Float32[np.ndarray, "F M"]:
        """The log-mel spectrogram of the first `seconds`."""
        samples = samples[: round(self.seconds * self.rate)]
        return media.log_mel(samples, rate=self.rate, window=self.window, hop=self.hop, mels=self.mels)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": float32 [n, F, M + 1]}`."""
        target = np.zeros((len(items), max(map(len, items)), self.mels + 1), dtype=np.float32)
        for row, item in zip(target, items, strict=True):
            row[: len(item)] = item
        return {"target": torch.from_numpy(target)}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        """The bytes of a WAV file; None where there was nothing to speak of."""
        return {"": [self._wav(row) for row in output.cpu().numpy()]}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """Itself: a sound has no interval."""
        return self

    def metrics(self) -> tuple[Metric, ...]:
        """The mean squared error of the standardised bands over all frames of the truth.

        A frame that was not said counts as 0, the mean frame, in every band; what was said behind the end of the truth
        does not count.
        """
        return (metric_of_counts("mse", squared_errors, ratio_of, higher_is_better=False),)

    def prior(self, target: Tensor) -> Float[Tensor, "M+1"]:
        """The mean frame, and the mean number of frames."""
        frames = target[target[:, :, -1] > 0]
        length = torch.tensor([len(frames) / max(1, len(target))])
        return torch.cat([frames[:, :-1].sum(dim=0) / max(1, len(frames)), length])

    def trivial(self, prior: Tensor, target: Tensor) -> Tensor:
        """The mean frame, as often as it is said on average."""
        frame = torch.cat([prior[:-1], prior.new_ones(1)])
        return frame.expand(len(target), max(1, round(float(prior[-1]))), -1)

    def certain(self, target: Tensor) -> Tensor:
        """The frames."""
        return target

    def _wav(self, row: Float32[np.ndarray, "F M+1"]) -> bytes | None:
        frames = row[row[:, -1] > 0, :-1]
        if not len(frames):
            return None
        mean, deviation = self._norm
        samples = media.samples_of_mel(frames * deviation + mean, rate=self.rate, window=self.window, hop=self.hop)
        return media.wav_bytes(samples, self.rate)

    @cached_property
    def _norm(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.mean, dtype=np.float32), np.array(self.deviation, dtype=np.float32)


def samples_of(cell: object, *, rate: int) -> Float32[np.ndarray, "S"]:
    """The samples of a sound at this rate.

    >>> samples_of((np.zeros(800, dtype=np.float32), 8000), rate=16000).shape
    (1600,)
    """
    samples, own_rate = media.sound(cell)
    return media.resample(samples, own_rate, rate)


def squared_errors(output: Float[Tensor, "N f M+1"], target: Float[Tensor, "N F M+1"]) -> np.ndarray:
    """For each row the sum of squared errors over the frames of the truth, and how many numbers that is.

    >>> said, true = torch.tensor([[[3.0, 1.0]]]), torch.tensor([[[1.0, 1.0], [2.0, 1.0]]])
    >>> squared_errors(said, true).tolist()
    [[8.0, 2.0]]
    """
    true = target.detach().cpu()
    said = torch.zeros_like(true)
    said[:, : output.shape[1]] = output.detach().cpu()[:, : true.shape[1]]
    there = true[:, :, -1] > 0
    errors = torch.where(there[:, :, None], said[:, :, :-1] - true[:, :, :-1], 0.0).double()
    numbers = there.sum(dim=1).double() * errors.shape[2]
    return torch.stack([(errors**2).sum(dim=(1, 2)), numbers], dim=1).numpy()
