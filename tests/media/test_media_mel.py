"""The log-mel spectrogram: against scipy's, its filters as loops, how many frames."""

import math

import numpy as np
import pytest
from scipy.signal import stft

from motet.media import log_mel, mel_filters
from motet.media.mel import spectrum

NOISE = np.random.default_rng(0).normal(scale=0.1, size=4000).astype(np.float32)


def test_filters_equal_the_formula_written_as_loops() -> None:
    rate, length, mels = 8000, 256, 10
    highest = 2595 * math.log10(1 + (rate / 2) / 700)
    corner = [700 * (10 ** (highest * k / (mels + 1) / 2595) - 1) for k in range(mels + 2)]
    filters = mel_filters(rate=rate, length=length, mels=mels)
    for band in range(mels):
        for place in range(length // 2 + 1):
            hertz = place * rate / length
            low, middle, high = corner[band : band + 3]
            slope = (hertz - low) / (middle - low) if hertz <= middle else (high - hertz) / (high - middle)
            assert filters[band, place] == pytest.approx(max(0, slope), abs=1e-12)


def test_the_spectrogram_equals_that_of_scipy() -> None:
    window, hop, length = 200, 80, 256
    _, _, transformed = stft(
        NOISE, window="hann", nperseg=window, noverlap=window - hop, nfft=length, boundary=None, padded=False
    )
    hann = np.sin(np.pi * np.arange(window) / window) ** 2
    power = np.abs(transformed.T * hann.sum()) ** 2 / (hann**2).sum()  # scipy divides by the sum of the window
    expected = np.log(1e-6 + power @ mel_filters(rate=8000, length=length, mels=40).T)
    np.testing.assert_allclose(log_mel(NOISE, rate=8000, window=window, hop=hop, mels=40), expected, atol=1e-4)


def test_a_tone_is_loudest_in_its_own_band() -> None:
    for hertz in (300, 1000, 2500):
        tone = np.sin(2 * np.pi * hertz * np.arange(4000) / 8000).astype(np.float32)
        frames = log_mel(tone, rate=8000, window=200, hop=80, mels=20)
        mel = 2595 * math.log10(1 + hertz / 700) / (2595 * math.log10(1 + 4000 / 700)) * 21
        assert abs(frames.mean(axis=0).argmax() + 1 - mel) <= 1


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (199, 1), (200, 1), (279, 1), (280, 2), (4000, 48)])
def test_as_many_frames_as_whole_windows(samples: int, frames: int) -> None:
    assert log_mel(NOISE[:samples], rate=8000, window=200, hop=80, mels=20).shape == (frames, 20)


@pytest.mark.parametrize(("window", "hop", "length"), [(200, 80, 256), (8, 3, 8), (5, 7, 8), (30, 1, 32)])
def test_the_transform_is_the_sum_written_out(window: int, hop: int, length: int) -> None:
    samples = NOISE[: 3 * window + 2].astype(np.float64)
    found = spectrum(samples, window=window, hop=hop)
    starts = range(0, len(samples) - window + 1, hop)
    assert found.shape == (len(starts), length // 2 + 1)
    for frame, start in enumerate(starts):
        weighed = [samples[start + n] * math.sin(math.pi * n / window) ** 2 for n in range(window)]
        for place in (0, 1, length // 4, length // 2):
            turns = np.exp(-2j * np.pi * place * np.arange(window) / length)
            assert found[frame, place] == pytest.approx(np.sum(weighed * turns), abs=1e-9)


def test_silence_is_the_floor_and_a_band_is_never_louder_than_its_bound() -> None:
    assert np.allclose(log_mel(np.zeros(400, np.float32), rate=8000, window=200, hop=80, mels=20), math.log(1e-6))
    loudest = max(
        log_mel(sound.astype(np.float32), rate=8000, window=200, hop=80, mels=20).max()
        for sound in (np.ones(400), np.cos(np.pi * np.arange(400) / 2), np.sign(NOISE[:400]))
    )
    assert loudest < math.log(256)  # the length of the transform
