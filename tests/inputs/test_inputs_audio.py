"""Sound: everything fitted, lengths, shifts, and SpecAugment."""

import numpy as np
import pytest
import torch

from motet.core.errors import CellError
from motet.core.seed import generator
from motet.inputs import Audio, AudioPreparation

NOISE = np.random.default_rng(0).normal(scale=0.1, size=4000).astype(np.float32)


def tone(hertz: float, *, rate: int = 8000, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate).astype(np.float32)


def fitted(spec: Audio, sounds: list[object]) -> AudioPreparation:
    preparation = spec.fit(sounds)
    assert isinstance(preparation, AudioPreparation)
    return preparation


def test_everything_auto_comes_from_the_sounds() -> None:
    preparation = fitted(Audio(), [(NOISE, 44100), (NOISE, 44100), (NOISE, 8000)])
    assert (preparation.rate, preparation.mels) == (16000, 64)
    assert preparation.seconds == pytest.approx(0.5, abs=0.01)
    preparation = fitted(Audio(), [(np.zeros(8000 * 12, dtype=np.float32), 8000)])
    assert (preparation.rate, preparation.mels, preparation.seconds) == (8000, 40, 10)


def test_a_sound_is_resampled_and_cut_off() -> None:
    preparation = fitted(Audio(seconds=0.25), [(tone(1000), 8000)])
    slow = preparation.read((tone(1000), 8000))
    fast = preparation.read((tone(1000, rate=16000), 16000))
    assert slow.shape == fast.shape == (23, 40)
    assert np.abs(slow - fast)[3:-3, slow.mean(axis=0) > 0].max() < 0.1


def test_bands_are_standardised() -> None:
    preparation = fitted(Audio(), [(NOISE, 8000)])
    frames = preparation.batch([preparation.read((NOISE, 8000))])["frames"][0]
    torch.testing.assert_close(frames.mean(0), torch.zeros(40), rtol=0, atol=1e-3)
    torch.testing.assert_close(frames.std(0, correction=0), torch.ones(40), rtol=0, atol=1e-3)


def test_silence_and_clipping_stay_finite() -> None:
    preparation = fitted(Audio(), [(np.zeros(4000, dtype=np.float32), 8000)])
    frames = preparation.batch([preparation.read((np.ones(4000, dtype=np.float32), 8000))])["frames"]
    assert frames.isfinite().all()


def test_specaugment_hides_runs_of_frames_and_bands_by_their_mean() -> None:
    preparation = fitted(Audio(mask=0.3), [(NOISE, 8000)])
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


def test_a_shift_leaves_silence_where_the_sound_was_and_nothing_comes_round() -> None:
    preparation = fitted(Audio(mask=0, shift=0.25), [(NOISE, 8000)])
    item, mean = preparation.read((NOISE, 8000)), np.array(preparation.mean, np.float32)
    most, seen = int(0.25 * len(item)), set()
    for draw in range(200):
        moved = preparation.augment(item, generator(draw))
        (step,) = [
            step
            for step in range(-most, most + 1)
            if all(
                np.array_equal(moved[frame], item[frame - step] if 0 <= frame - step < len(item) else mean)
                for frame in range(len(item))
            )
        ]
        seen.add(step)
    assert seen == set(range(-most, most + 1))


def test_a_shift_comes_before_what_is_hidden() -> None:
    """What is hidden by SpecAugment of a moved sound are runs of frames and bands of that sound."""
    preparation = fitted(Audio(mask=0.3, shift=0.5), [(NOISE, 8000)])
    assert preparation.variations == {"mask": 0, "shift": 0}
    item, mean = preparation.read((NOISE, 8000)), np.array(preparation.mean, np.float32)
    for draw in range(50):
        moved = fitted(Audio(mask=0, shift=0.5), [(NOISE, 8000)]).augment(item, generator(draw))
        hidden = preparation.augment(item, generator(draw)) != moved
        silent = (moved == mean).all(axis=1)
        frames, bands = hidden[~silent].all(axis=1), hidden[~silent].all(axis=0)
        assert not hidden[silent].any()
        assert np.array_equal(hidden[~silent], frames[:, None] | bands[None, :])


def test_an_auto_mask_is_that_of_a_cnn() -> None:
    spec, still = Audio(), Audio.model_validate({"encoder": "mfcc"})
    assert spec.resolved(spec.fit([(NOISE, 8000)])).mask == 0.1
    assert still.resolved(still.fit([(NOISE, 8000)])).mask == 0
    assert not still.fit([(NOISE, 8000)]).varies


def test_what_is_no_sound_is_refused() -> None:
    with pytest.raises(CellError):
        fitted(Audio(), [(NOISE, 8000)]).read(b"no sound")
