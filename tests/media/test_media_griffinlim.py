"""Griffin & Lim by hand, its distance that never grows, and sounds whose spectrogram is the one asked for."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from motet import media
from motet.core.seed import generator
from motet.media import log_mel, mel_filters, samples_of_mel
from motet.media.griffinlim import LEAST_OVERLAP, band_power_to_bins, griffin_lim, samples_of_spectrum
from motet.media.mel import FLOOR, hann, spectrum

SPEECH = {"rate": 8000, "window": 200, "hop": 80}
WINDOW, HOP, LENGTH = 6, 2, 8


def tones(*hertz: float, rate: int = 8000, seconds: float = 0.5) -> np.ndarray:
    """A sum of tones that begins and ends in silence."""
    time = np.arange(round(rate * seconds)) / rate
    waves = sum(np.sin(2 * np.pi * each * time) for each in hertz)
    return (0.2 * waves * np.sin(np.pi * time / seconds) ** 2).astype(np.float32)


def amplitude(mel: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(0, np.exp(mel.astype(np.float64)) - FLOOR))


def spectral_convergence(found: np.ndarray, asked: np.ndarray) -> float:
    """|found - asked| / |asked| of the bands' amplitudes: 0 is equal, 1 is as far as silence."""
    found, asked = amplitude(found), amplitude(asked)
    return float(np.linalg.norm(found - asked) / np.linalg.norm(asked))


def heard_again(sound: np.ndarray, *, mels: int, rate: int, window: int, hop: int, **options) -> tuple[float, float]:
    """Spectral convergence, and the mean difference of the logarithms."""
    asked = log_mel(sound, rate=rate, window=window, hop=hop, mels=mels)
    samples = samples_of_mel(asked, rate=rate, window=window, hop=hop, **options)
    found = log_mel(samples, rate=rate, window=window, hop=hop, mels=mels)
    assert found.shape == asked.shape
    return spectral_convergence(found, asked), float(np.abs(found - asked).mean())


@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_griffin_lim_by_hand(momentum: float) -> None:
    """Frames one by one, with whole complex transforms; the start phase is the only thing shared."""
    magnitude = np.random.default_rng(0).uniform(0.1, 1, size=(4, LENGTH // 2 + 1))
    weights = [np.sin(np.pi * n / WINDOW) ** 2 for n in range(WINDOW)]

    def inverse(frames: list[np.ndarray]) -> np.ndarray:
        above, below = np.zeros(3 * HOP + WINDOW), np.zeros(3 * HOP + WINDOW)
        for f, frame in enumerate(frames):
            whole = np.concatenate([[frame[0].real], frame[1:-1], [frame[-1].real], frame[1:-1][::-1].conj()])
            for n in range(WINDOW):
                turns = np.exp(2j * np.pi * n * np.arange(LENGTH) / LENGTH)
                above[f * HOP + n] += weights[n] * (whole * turns).sum().real / LENGTH
                below[f * HOP + n] += weights[n] ** 2
        return above / np.maximum(below, LEAST_OVERLAP * below.max())

    def forward(samples: np.ndarray) -> list[np.ndarray]:
        frames = []
        for f in range(4):
            weighed = np.zeros(LENGTH)
            weighed[:WINDOW] = [weights[n] * samples[f * HOP + n] for n in range(WINDOW)]
            frames.append(np.fft.fft(weighed)[: LENGTH // 2 + 1])
        return frames

    phase = generator("griffin-lim").uniform(0, 2 * np.pi, magnitude.shape)
    asked, last = list(magnitude * np.exp(1j * phase)), None
    for _ in range(5):
        reached = forward(inverse(asked))
        ahead = reached if last is None else [t + momentum * (t - s) for t, s in zip(reached, last, strict=True)]
        asked, last = [a * u / np.abs(u) for a, u in zip(magnitude, ahead, strict=True)], reached
    found = griffin_lim(magnitude, window=WINDOW, hop=HOP, iterations=5, momentum=momentum)
    np.testing.assert_allclose(found, inverse(asked), atol=1e-12)


@given(arrays.arrays(np.float64, (5, LENGTH // 2 + 1), elements=st.floats(0, 10)))
def test_the_distance_from_what_was_asked_never_grows(magnitude: np.ndarray) -> None:
    """Over the whole transform, with what holds the first and last samples back."""
    overlap = np.zeros(4 * HOP + WINDOW)
    for f in range(5):
        overlap[f * HOP : f * HOP + WINDOW] += hann(WINDOW) ** 2
    held = np.maximum(0, LEAST_OVERLAP * overlap.max() - overlap)
    twice = np.array([1] + [2] * (LENGTH // 2 - 1) + [1])  # the bins of the other half
    distances = []
    for iterations in range(8):
        samples = griffin_lim(magnitude, window=WINDOW, hop=HOP, iterations=iterations, momentum=0.0)
        apart = np.abs(spectrum(samples, window=WINDOW, hop=HOP)) - magnitude
        distances.append((twice * apart**2).sum() / LENGTH + (held * samples**2).sum())
    assert (np.diff(distances) <= 1e-9).all()


@pytest.mark.parametrize(("window", "hop"), [(200, 80), (200, 100), (30, 7), (5, 1), (8, 11)])
def test_the_inverse_gives_the_samples_back_where_windows_overlap(window: int, hop: int) -> None:
    frames = 6
    sound = np.random.default_rng(0).normal(size=(frames - 1) * hop + window)
    overlap = np.zeros(len(sound))
    for f in range(frames):
        overlap[f * hop : f * hop + window] += hann(window) ** 2
    heard = overlap >= LEAST_OVERLAP * overlap.max()
    again = samples_of_spectrum(spectrum(sound, window=window, hop=hop), window=window, hop=hop)
    np.testing.assert_allclose(again[heard], sound[heard], atol=1e-12)
    assert (np.abs(again[~heard]) <= np.abs(sound[~heard])).all()
    assert heard.mean() > 0.3


@given(
    arrays.arrays(np.float64, (3, 4), elements=st.just(0.0) | st.floats(1e-6, 10)),
    arrays.arrays(np.float64, (4, 7), elements=st.sampled_from([0, 0, 0.25, 0.5, 1])),
)
def test_each_update_lowers_the_divergence_and_nothing_is_negative(power: np.ndarray, filters: np.ndarray) -> None:
    heard = filters.any(axis=1)  # a band without bins can not be met

    def divergence(updates: int) -> float:
        bins = band_power_to_bins(power, filters, updates=updates)
        assert (bins >= 0).all()
        assert np.isfinite(bins).all()
        assert (bins[:, ~filters.any(axis=0)] == 0).all()
        y, q = power[:, heard], (bins @ filters.T)[:, heard]
        ratio = np.divide(y, q, out=np.ones_like(y), where=(y > 0) & (q > 0))
        return float((y * np.log(ratio) - y + q).sum())

    found = [divergence(updates) for updates in range(6)]
    assert (np.diff(found) <= 1e-9).all()


def test_bins_of_real_filters_meet_their_bands() -> None:
    filters = mel_filters(rate=8000, length=256, mels=40)
    true = np.random.default_rng(0).gamma(0.3, size=(10, 129)) * np.exp(-np.arange(129) / 20)
    bands = true @ filters.T
    found = band_power_to_bins(bands, filters) @ filters.T
    assert np.abs(np.log(found / bands)).mean() < 0.01
    pseudo = np.maximum(0, bands @ np.linalg.pinv(filters).T) @ filters.T
    assert np.abs(np.log(found / bands)).mean() < np.abs(np.log(pseudo / bands)).mean() / 5


@pytest.mark.parametrize("hertz", [(440,), (300, 1000, 2500), (150, 160)])
@pytest.mark.parametrize(
    ("settings", "bound"),
    [
        ({**SPEECH, "mels": 40}, 0.05),
        ({**SPEECH, "mels": 20}, 0.1),  # bands are wider than a tone
        ({"rate": 16000, "window": 400, "hop": 160, "mels": 64}, 0.05),
    ],
)
def test_tones_are_heard_again(hertz: tuple[float, ...], settings: dict[str, int], bound: float) -> None:
    convergence, _ = heard_again(tones(*hertz, rate=settings["rate"]), **settings)
    assert convergence < bound


def test_a_chirp_and_noise_are_heard_again() -> None:
    time = np.arange(4000) / 8000
    chirp = (0.3 * np.sin(2 * np.pi * (200 * time + 2000 * time**2))).astype(np.float32)
    assert heard_again(chirp, mels=40, **SPEECH)[0] < 0.1
    noise = np.random.default_rng(0).normal(scale=0.1, size=4000).astype(np.float32)
    assert heard_again(noise, mels=40, **SPEECH)[0] < 0.1


def test_the_tone_itself_comes_back() -> None:
    samples = samples_of_mel(log_mel(tones(1000), mels=40, **SPEECH), **SPEECH)
    loudest = np.abs(np.fft.rfft(samples)).argmax() * 8000 / len(samples)
    assert abs(loudest - 1000) < 60  # bands are 90 Hz wide there
    assert np.sqrt((samples**2).mean()) == pytest.approx(np.sqrt((tones(1000) ** 2).mean()), rel=0.1)


def test_more_iterations_and_momentum_come_closer() -> None:
    sound = tones(200, 700, 1900)
    plain = heard_again(sound, mels=40, iterations=32, momentum=0.0, **SPEECH)[0]
    longer = heard_again(sound, mels=40, iterations=200, momentum=0.0, **SPEECH)[0]
    ahead = heard_again(sound, mels=40, iterations=32, momentum=0.99, **SPEECH)[0]
    none = heard_again(sound, mels=40, iterations=0, **SPEECH)[0]
    assert longer < plain < none
    assert ahead < plain


def test_the_same_spectrogram_gives_the_same_sound_and_nothing_is_changed() -> None:
    asked = log_mel(tones(300, 1200), mels=40, **SPEECH)
    before = asked.copy()
    first = samples_of_mel(asked, **SPEECH)
    np.random.default_rng(1).normal(size=5)
    assert np.array_equal(first, samples_of_mel(asked, **SPEECH))
    assert np.array_equal(asked, before)
    assert first.dtype == np.float32


@pytest.mark.parametrize("frames", [1, 2, 10])
def test_as_many_samples_as_the_frames_span(frames: int) -> None:
    samples = samples_of_mel(np.full((frames, 40), -3.0, dtype=np.float32), **SPEECH)
    assert len(samples) == (frames - 1) * 80 + 200
    assert log_mel(samples, mels=40, **SPEECH).shape == (frames, 40)
    assert samples_of_mel(np.zeros((0, 40), dtype=np.float32), **SPEECH).shape == (0,)


def test_silence_stays_silent() -> None:
    silent = log_mel(np.zeros(2000, np.float32), mels=40, **SPEECH)
    assert np.abs(samples_of_mel(silent, **SPEECH)).max() < 1e-5
    assert not samples_of_mel(np.full((4, 40), -np.inf, dtype=np.float32), **SPEECH).any()


def test_what_an_untrained_model_asks_for_stays_finite() -> None:
    draw = np.random.default_rng(0)
    for scale in (1.0, 30.0, 1e4, 1e30):
        wild = draw.normal(scale=scale, size=(12, 40)).astype(np.float32)
        samples = samples_of_mel(wild, **SPEECH)
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() < 100
        ends = np.concatenate([samples[:20], samples[-20:]])
        assert np.abs(ends).max() < 2 * np.abs(samples[200:-200]).max(), "no click at the ends"


@pytest.mark.real
def test_spoken_digits_are_heard_again(real_data: Path) -> None:
    folder = real_data / "fsdd"
    if not (folder / "manifest.csv").is_file():
        pytest.skip(f"the spoken digits are not at {folder}")
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        names = [row["wav"] for row in csv.DictReader(file)][::500]
    fast, plain = [], []
    for name in names:
        sound, rate = media.sound(folder / name)
        settings = {"rate": rate, "window": rate // 40, "hop": rate // 100, "mels": 40}
        fast.append(heard_again(sound, **settings))
        plain.append(heard_again(sound, momentum=0.0, **settings)[0])
    convergence, difference = np.mean(fast, axis=0)
    assert convergence < 0.08
    assert difference < 0.15
    assert convergence < np.mean(plain)
