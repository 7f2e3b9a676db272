"""Log-mel spectrograms in numpy, with every constant of the formula in sight.

Shapes: S samples, F frames, B bins of the Fourier transform, M mel bands.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Complex128, Float32, Float64

FLOOR = 1e-6  # added to the power before the logarithm: silence is -13.8, not minus infinity


def log_mel(
    samples: Float32[np.ndarray, "S"], *, rate: int, window: int, hop: int, mels: int
) -> Float32[np.ndarray, "F M"]:
    """`log(1e-6 + W |rfft(h * x_f)|^2 / sum(h^2))` for each frame x_f of `window` samples, one every `hop`.

    h is the periodic Hann window; the transform has the next power of two as its length; W are triangles as high as 1
    whose corners are evenly spaced in mel, `m = 2595 log10(1 + hz / 700)`, from 0 to half the rate. Frames are not
    centred: the first starts at the first sample, and what fills no whole frame at the end is left out. A sound
    shorter than one window is padded with zeros behind.

    >>> log_mel(np.zeros(800, dtype=np.float32), rate=8000, window=200, hop=80, mels=40).shape
    (8, 40)
    """
    power = np.abs(spectrum(samples, window=window, hop=hop)) ** 2 / np.sum(hann(window) ** 2)
    filters = mel_filters(rate=rate, length=transform_length(window), mels=mels)
    bands: np.ndarray = np.log(FLOOR + power @ filters.T)
    return bands.astype(np.float32)


def spectrum(samples: np.ndarray, *, window: int, hop: int) -> Complex128[np.ndarray, "F B"]:
    """`rfft(h * x_f)` for each frame x_f, the short-time Fourier transform `log_mel` is made of.

    >>> spectrum(np.zeros(800), window=200, hop=80).shape
    (8, 129)
    """
    samples = np.pad(samples, (0, max(0, window - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    return np.fft.rfft(frames * hann(window), n=transform_length(window), axis=1)


def hann(window: int) -> Float64[np.ndarray, "window"]:
    """The periodic Hann window, `sin(pi n / window)^2` for n = 0 .. window - 1."""
    return np.hanning(window + 1)[:-1]


def transform_length(window: int) -> int:
    """The next power of two.

    >>> transform_length(200), transform_length(256)
    (256, 256)
    """
    return 1 << (window - 1).bit_length()


@lru_cache(maxsize=32)
def mel_filters(*, rate: int, length: int, mels: int) -> Float64[np.ndarray, "M B"]:
    """Triangles over the bins of a transform of `length`, corners evenly spaced in mel from 0 to `rate / 2`.

    A triangle narrower than the bins lie apart may hold none of them: such a band is always silent.

    >>> mel_filters(rate=8000, length=256, mels=10).shape
    (10, 129)
    """
    corners = _hertz(np.linspace(0, _mel(rate / 2), mels + 2))
    left, centre, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    hertz = np.linspace(0, rate / 2, length // 2 + 1)
    rising, falling = (hertz - left) / (centre - left), (right - hertz) / (right - centre)
    filters: np.ndarray = np.maximum(0, np.minimum(rising, falling))
    filters.setflags(write=False)  # shared by every caller
    return filters


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mel: Float64[np.ndarray, "K"]) -> Float64[np.ndarray, "K"]:
    return 700 * (10 ** (mel / 2595) - 1)
