"""Sound: the spectrogram against an independent one, lengths, and SpecAugment."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import stft

from motet.core.errors import CellError
from motet.core.seed import generator
from motet.inputs import Audio
from motet.inputs.melspectrogram import log_mel, mel_filters

NOISE = np.random.default_rng(0).normal(scale=0.1, size=4000).astype(np.float32)


def tone(hertz: float, *, rate: int = 8000, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate).astype(np.float32)


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
    _, _, spectrum = stft(
        NOISE, window="hann", nperseg=window, noverlap=window - hop, nfft=length, boundary=None, padded=False
    )
    hann = np.sin(np.pi * np.arange(window) / window) ** 2
    power = np.abs(spectrum.T * hann.sum()) ** 2 / (hann**2).sum()  # scipy divides by the sum of the window
    expected = np.log(1e-6 + power @ mel_filters(rate=8000, length=length, mels=40).T)
    np.testing.assert_allclose(log_mel(NOISE, rate=8000, window=window, hop=hop, mels=40), expected, atol=1e-4)


def test_a_tone_is_loudest_in_its_own_band() -> None:
    for hertz in (300, 1000, 2500):
        frames = log_mel(tone(hertz), rate=8000, window=200, hop=80, mels=20)
        mel = 2595 * math.log10(1 + hertz / 700) / (2595 * math.log10(1 + 4000 / 700)) * 21
        assert abs(frames.mean(axis=0).argmax() + 1 - mel) <= 1


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (199, 1), (200, 1), (279, 1), (280, 2), (4000, 48)])
def test_as_many_frames_as_whole_windows(samples: int, frames: int) -> None:
    assert log_mel(NOISE[:samples], rate=8000, window=200, hop=80, mels=20).shape == (frames, 20)


def test_everything_auto_comes_from_the_sounds() -> None:
    preparation = Audio().fit([(NOISE, 44100), (NOISE, 44100), (NOISE, 8000)])
    assert (preparation.rate, preparation.mels) == (16000, 64)
    assert preparation.seconds == pytest.approx(0.5, abs=0.01)
    preparation = Audio().fit([(np.zeros(8000 * 12, dtype=np.float32), 8000)])
    assert (preparation.rate, preparation.mels, preparation.seconds) == (8000, 40, 10)


def test_a_sound_is_resampled_and_cut_off() -> None:
    preparation = Audio(seconds=0.25).fit([(tone(1000), 8000)])
    slow = preparation.read((tone(1000), 8000))
    fast = preparation.read((tone(1000, rate=16000), 16000))
    assert slow.shape == fast.shape == (23, 40)
    assert np.abs(slow - fast)[3:-3, slow.mean(axis=0) > 0].max() < 0.1


def test_bands_are_standardised() -> None:
    preparation = Audio().fit([(NOISE, 8000)])
    frames = preparation.batch([preparation.read((NOISE, 8000))])["frames"][0]
    torch.testing.assert_close(frames.mean(0), torch.zeros(40), rtol=0, atol=1e-3)
    torch.testing.assert_close(frames.std(0, correction=0), torch.ones(40), rtol=0, atol=1e-3)


def test_silence_and_clipping_stay_finite() -> None:
    preparation = Audio().fit([(np.zeros(4000, dtype=np.float32), 8000)])
    frames = preparation.batch([preparation.read((np.ones(4000, dtype=np.float32), 8000))])["frames"]
    assert frames.isfinite().all()


def test_specaugment_hides_runs_of_frames_and_bands_by_their_mean() -> None:
    preparation = Audio(mask=0.3).fit([(NOISE, 8000)])
    item = preparation.read((NOISE, 8000))
    most_frames, most_bands = 0, 0
    for draw in range(200):
        hidden = preparation.augment(item, generator(draw)) != item
        frames, bands = hidden.all(axis=1), hidden.all(axis=0)
        assert np.array_equal(hidden, frames[:, None] | bands[None, :])
        assert (np.diff(frames.astype(int)) == 1).sum() + frames[0] <= 2
        most_frames, most_bands = max(most_frames, frames.sum()), max(most_bands, bands.sum())
        varied = preparation.augment(item, generator(draw))
        assert np.array_equal(varied[frames], np.tile(np.array(preparation.mean, np.float32), (frames.sum(), 1)))
    assert 0.4 < most_frames / len(item) <= 0.6
    assert 0.4 < most_bands / 40 <= 0.6


def test_what_is_no_sound_is_refused() -> None:
    with pytest.raises(CellError):
        Audio().fit([(NOISE, 8000)]).read(b"no sound")
