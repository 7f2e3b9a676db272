"""From a log-mel spectrogram back to a sound: the bins' power from the bands', then a phase that suits it.

Shapes: S samples, F frames, B bins of the Fourier transform, M mel bands.
"""

import numpy as np
from jaxtyping import Complex128, Float, Float32, Float64

from motet.core.seed import generator
from motet.media.mel import FLOOR, hann, mel_filters, spectrum, transform_length

BAND_UPDATES = 30  # on spoken digits a hundred come no closer
LEAST_OVERLAP = 0.1  # of the most that windows overlap: below it, at the two ends, samples fade
TINY = 1e-30


def samples_of_mel(
    log_mel: Float[np.ndarray, "F M"],
    *,
    rate: int,
    window: int,
    hop: int,
    iterations: int = 64,
    momentum: float = 0.99,
) -> Float32[np.ndarray, "S"]:
    """A sound whose `motet.media.mel.log_mel` is close to the one given, `(F - 1) hop + window` samples long.

    `band_power_to_bins`, then `griffin_lim`. The same spectrogram always gives the same sound. A band louder than any
    sound in -1..1 can make it is taken as that loud; no frames make no samples.

    >>> samples_of_mel(np.zeros((8, 40), dtype=np.float32), rate=8000, window=200, hop=80).shape
    (760,)
    """
    if len(log_mel) == 0:
        return np.zeros(0, dtype=np.float32)
    length = transform_length(window)
    loudest = np.log(FLOOR + length)  # Parseval: sum |X_b|^2 <= length * sum(h^2) where |x| <= 1
    power = np.maximum(0, np.exp(np.minimum(log_mel.astype(np.float64), loudest)) - FLOOR)
    bins = band_power_to_bins(power, mel_filters(rate=rate, length=length, mels=log_mel.shape[1]))
    magnitude = np.sqrt(bins * np.sum(hann(window) ** 2))
    samples = griffin_lim(magnitude, window=window, hop=hop, iterations=iterations, momentum=momentum)
    return samples.astype(np.float32)


def band_power_to_bins(
    power: Float64[np.ndarray, "F M"], filters: Float64[np.ndarray, "M B"], *, updates: int = BAND_UPDATES
) -> Float64[np.ndarray, "F B"]:
    """The power p >= 0 of the bins for which `q = W p` comes close to that of the bands, y.

    Bands are fewer than bins, so that many p fit. The start `p_b = sum_m W_mb (y_m / w_m) / v_b` is a smooth one, where
    w_m and v_b are the sums of W over bins and over bands; each update `p_b <- p_b sum_m W_mb (y_m / q_m) / v_b` never
    raises the divergence `sum_m y_m log(y_m / q_m) - y_m + q_m` (Richardson 1972; Lee & Seung, NIPS 2000). Least
    squares, by the pseudo-inverse or with p >= 0, would lose the quiet bands. A bin in no band stays silent.

    >>> band_power_to_bins(np.array([[2.0, 4.0]]), np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]])).tolist()
    [[1.0, 1.0, 2.0, 0.0]]
    """
    of_band = np.maximum(filters.sum(axis=1), TINY)
    of_bin = np.maximum(filters.sum(axis=0), TINY)
    bins: np.ndarray = (power / of_band) @ filters / of_bin
    for _ in range(updates):
        bins = bins * ((power / np.maximum(bins @ filters.T, TINY)) @ filters / of_bin)
    return bins


def griffin_lim(
    magnitude: Float64[np.ndarray, "F B"], *, window: int, hop: int, iterations: int, momentum: float = 0.99
) -> Float64[np.ndarray, "S"]:
    """Samples whose short-time Fourier transform has nearly this magnitude A.

    Griffin & Lim (IEEE TASSP 1984): `c <- A t / |t|`, `t = STFT(ISTFT(c))`, from a random phase; the distance of |t|
    from A never grows. Perraudin et al. (WASPAA 2013) take `c <- A u / |u|`, `u_n = t_n + a (t_n - t_(n-1))`, with
    a = `momentum`: it can grow for a while, and ends lower (with 0 it is Griffin & Lim's). The phase it starts from is
    always the same one. Deviation: `samples_of_spectrum` at the two ends.

    >>> griffin_lim(np.ones((3, 129)), window=200, hop=80, iterations=2).shape
    (360,)
    """
    phase = generator("griffin-lim").uniform(0, 2 * np.pi, magnitude.shape)
    asked = magnitude * np.exp(1j * phase)
    last = np.zeros_like(asked)
    for step in range(iterations):
        reached = spectrum(samples_of_spectrum(asked, window=window, hop=hop), window=window, hop=hop)
        ahead = reached + momentum * (reached - last) if step else reached
        asked, last = magnitude * ahead / np.maximum(np.abs(ahead), TINY), reached
    return samples_of_spectrum(asked, window=window, hop=hop)


def samples_of_spectrum(frames: Complex128[np.ndarray, "F B"], *, window: int, hop: int) -> Float64[np.ndarray, "S"]:
    """The samples whose transform is closest to these frames: `x = sum_f h y_f / sum_f h^2`, y_f the frame's inverse.

    The inverse of `motet.media.mel.spectrum`. Deviation from Griffin & Lim: where the windows overlap by less than a
    tenth of the most, `sum_f h^2` is taken as that tenth. Otherwise the first and last samples, which no window
    weighs, were free to explode.

    >>> sound = np.sin(np.arange(360.0))
    >>> again = samples_of_spectrum(spectrum(sound, window=200, hop=80), window=200, hop=80)
    >>> bool(np.abs(again - sound)[40:-40].max() < 1e-12)
    True
    """
    taper = hann(window)
    inverse = np.fft.irfft(frames, n=transform_length(window), axis=1)[:, :window]
    overlap = _overlap_add(np.tile(taper**2, (len(frames), 1)), hop)
    total, least = _overlap_add(inverse * taper, hop), LEAST_OVERLAP * overlap.max()
    samples: np.ndarray = total / np.maximum(overlap, least)
    return samples


def _overlap_add(frames: Float64[np.ndarray, "F window"], hop: int) -> Float64[np.ndarray, "S"]:
    """The sum of the frames, each `hop` samples after the one before, in pieces of `hop` samples at once."""
    count, window = frames.shape
    pieces = -(-window // hop)
    padded = np.pad(frames, ((0, 0), (0, pieces * hop - window))).reshape(count, pieces, hop)
    total = np.zeros((count + pieces - 1, hop))
    for place in range(pieces):
        total[place : place + count] += padded[:, place]
    return total.reshape(-1)[: (count - 1) * hop + window]
