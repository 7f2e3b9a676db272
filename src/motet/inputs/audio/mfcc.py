"""Statistics of cepstral coefficients over time, the classical summary of a sound.

Shapes: N rows, F frames, M mel bands, C coefficients, 8C statistics, D width.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Float, Float64
from pydantic import Field
from torch import Tensor, nn

from motet import media
from motet.core.component import ComponentSpec
from motet.core.flow import Tokens
from motet.inputs.audio.preparation import AudioPreparation
from motet.inputs.base import Encoder, Preparation, single_token
from motet.nn import Dropout

REACH = 2  # frames on either side that a difference is fitted to
SMALLEST_DEVIATION = 1e-3  # of a statistic: one that hardly differs between sounds stays near zero


class MFCC(ComponentSpec):
    """Mean, deviation, least and greatest of cepstral coefficients over time, standardised: one token."""

    kind: Literal["mfcc"] = "mfcc"
    paper: ClassVar[str] = "Davis & Mermelstein, IEEE Transactions on Acoustics, Speech, and Signal Processing 1980"
    coefficients: int = Field(default=13, ge=1, description="How many, from the 0th on; at most as many as mel bands.")


class MFCCPreparation(Preparation):
    """Log-mel frames as `frames` makes them, and mean and deviation of the statistics of training sounds."""

    frames: AudioPreparation
    coefficients: int
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    @property
    def varies(self) -> bool:
        """Whether sounds are moved, or parts of them hidden, in training."""
        return self.frames.varies

    @property
    def variations(self) -> Mapping[str, object]:
        """Those of the frames."""
        return self.frames.variations

    def read(self, cell: object) -> np.ndarray:
        """The log-mel frames."""
        return self.frames.read(cell)

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A variation of the frames."""
        return self.frames.augment(item, generator)

    def distorted(
        self, item: np.ndarray, level: float, generator: np.random.Generator, *, other: np.ndarray
    ) -> np.ndarray:
        """The frames distorted."""
        return self.frames.distorted(item, level, generator, other=other)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"statistics": [n, 8C]}`, standardised, none farther from 0 than `media.FARTHEST`."""
        found = np.stack([statistics(item, self.coefficients) for item in items])
        mean, deviation = self._norm
        scaled = np.clip((found - mean) / deviation, -media.FARTHEST, media.FARTHEST)
        return {"statistics": torch.from_numpy(scaled.astype(np.float32))}

    def fitted(self, items: Sequence[np.ndarray]) -> Self:
        """With mean and deviation of the statistics of these frames."""
        found = np.stack([statistics(item, self.coefficients) for item in items])
        deviation = np.maximum(found.std(axis=0), SMALLEST_DEVIATION)
        return self.model_copy(
            update={"mean": tuple(found.mean(axis=0).tolist()), "deviation": tuple(deviation.tolist())}
        )

    @cached_property
    def _norm(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.mean), np.array(self.deviation)


class MFCCEncoder(Encoder):
    """One token, a linear map of the statistics.

    >>> MFCCEncoder(coefficients=13, width=8, dropout=0.1)({"statistics": torch.zeros(2, 104)}).values.shape
    torch.Size([2, 1, 8])
    """

    def __init__(self, *, coefficients: int, width: int, dropout: float) -> None:
        super().__init__()
        self.output_width = width
        self.dropout = Dropout(dropout)
        self.project = nn.Linear(8 * coefficients, width)

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`statistics [N, 8C]` -> one token per row."""
        return single_token(self.project(self.dropout(values["statistics"])))


def statistics(frames: Float[np.ndarray, "F M"], coefficients: int) -> Float64[np.ndarray, "8C"]:
    """Mean, standard deviation, least and greatest over time, each of the coefficients, then of their differences.

    >>> statistics(np.array([[0.0], [2.0]]), 1)[::2]  # of the coefficient itself, which is what the one band is
    array([1., 1., 0., 2.])
    """
    found = cepstrum(frames, coefficients)
    whole = np.concatenate([found, differences(found)], axis=1)
    least, greatest = whole.min(axis=0), whole.max(axis=0)
    return np.stack([whole.mean(axis=0), whole.std(axis=0), least, greatest]).ravel()


def cepstrum(frames: Float[np.ndarray, "F M"], coefficients: int) -> Float64[np.ndarray, "F C"]:
    """`c_k = s_k sum_m x_m cos(pi k (m + 1/2) / M)`, k from 0, `s_0 = sqrt(1/M)`, else `sqrt(2/M)`: an orthonormal DCT.

    Deviations from Davis & Mermelstein: natural logarithms of triangles as `media.log_mel` has them, k = 0 is kept, and
    the transform is scaled to be orthonormal.

    >>> cepstrum(np.ones((1, 4), dtype=np.float32), 1)
    array([[2.]])
    """
    found: np.ndarray = frames.astype(np.float64) @ _cosines(frames.shape[1], coefficients)
    return found


def differences(values: Float64[np.ndarray, "F C"]) -> Float64[np.ndarray, "F C"]:
    """`d_t = sum_n n (c_{t+n} - c_{t-n}) / (2 sum_n n^2)`, n = 1, 2: the slope of a line through five frames.

    Before the first and behind the last frame these are repeated (Young et al., The HTK Book, 2006).

    >>> differences(np.arange(6.0)[:, None])[2:4, 0]
    array([1., 1.])
    """
    size = len(values)
    wide = np.pad(values, ((REACH, REACH), (0, 0)), mode="edge")
    steps = range(1, REACH + 1)
    total = sum(n * (wide[REACH + n :][:size] - wide[REACH - n :][:size]) for n in steps)
    return np.asarray(total / (2 * sum(n * n for n in steps)))


@lru_cache(maxsize=8)
def _cosines(mels: int, coefficients: int) -> Float64[np.ndarray, "M C"]:
    order = np.arange(coefficients)
    found: np.ndarray = np.cos(np.pi * (np.arange(mels)[:, None] + 0.5) * order / mels) * np.sqrt(2 / mels)
    found[:, 0] /= np.sqrt(2)
    found.setflags(write=False)  # shared by every caller
    return found
