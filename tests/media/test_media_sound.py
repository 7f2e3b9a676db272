import io
import random

import numpy as np
import pytest
import soundfile

from motet import media
from motet.core.errors import CellError
from motet.media import audio as module

RATE = 8000
TONE = (np.sin(2 * np.pi * 440 * np.arange(800) / RATE) / 2).astype(np.float32)


def _saved(samples=TONE, rate=RATE, kind="WAV", subtype=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def test_every_source_of_one_sound(tmp_path):
    data = _saved(subtype="FLOAT")
    (tmp_path / "a.wav").write_bytes(data)
    sources = [
        data,
        tmp_path / "a.wav",
        str(tmp_path / "a.wav"),
        {"bytes": data, "path": None},
        {"bytes": None, "path": str(tmp_path / "a.wav")},
        (TONE, RATE),
        {"array": TONE.tolist(), "sampling_rate": RATE},
    ]
    for source in sources:
        samples, rate = media.sound(source)
        assert rate == RATE == media.sound_rate(source)
        assert samples.dtype == np.float32
        assert np.array_equal(samples, TONE)


@pytest.mark.parametrize(("kind", "tolerance"), [("WAV", 1e-4), ("FLAC", 1e-4), ("AIFF", 1e-4), ("OGG", 0.1)])
def test_formats(kind, tolerance):
    samples, rate = media.sound(_saved(kind=kind))
    assert (len(samples), rate) == (800, RATE)
    assert np.abs(samples - TONE).max() < tolerance


def test_channels_are_averaged():
    stereo = np.stack([TONE, np.zeros_like(TONE)], axis=1)
    for source in (_saved(stereo, subtype="FLOAT"), (stereo, RATE)):
        assert np.allclose(media.sound(source)[0], TONE / 2, atol=1e-7)


def test_integer_samples_are_scaled():
    assert media.sound((np.array([-32768, 0, 16384], np.int16), RATE))[0].tolist() == [-1, 0, 0.5]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (b"hello", "not a sound"),
        (_saved()[:-100], r"truncated: 1500 of 1600 bytes"),
        (_saved(kind="FLAC")[:-300], "damaged or truncated|truncated"),
        (_saved(TONE[:0]), "no samples"),
        (_saved(np.array([0, np.nan], np.float32), subtype="FLOAT"), "not finite"),
        ((np.array([np.inf]), RATE), "not finite"),
        ((np.zeros(0), RATE), "no samples"),
        ((np.zeros(3), 0), "expected a sampling rate"),
        ((np.zeros(3), None), "expected a sampling rate"),
        ((np.zeros((2, 2, 2)), RATE), "expected samples"),
        ((["a"], RATE), "expected samples"),
        (5, "expected a path or bytes"),
    ],
    ids=range(12),  # the bytes would do, but a WAV may hold the time it was made
)
def test_bad_sounds(source, reason):
    with pytest.raises(CellError, match=reason):
        media.sound(source)


def test_the_cap_is_checked_from_the_header(monkeypatch):
    monkeypatch.setattr(module, "MAX_SECONDS", 0.05)
    with pytest.raises(CellError, match="0 seconds, more than"):
        media.sound(_saved())
    with pytest.raises(CellError, match="more than"):
        media.sound((TONE, RATE))


def test_ten_minutes_are_the_cap():
    assert len(media.sound((np.zeros(6000), 10))[0]) == 6000
    with pytest.raises(CellError, match="600 seconds, more than the 10 minutes"):
        media.sound((np.zeros(6001), 10))


def test_files_do_not_name_their_folder(tmp_path):
    (tmp_path / "a.wav").write_text("hello")
    for name, reason in {"a.wav": "not a sound", "b.wav": "No such file"}.items():
        for read in (media.sound, media.sound_rate):
            with pytest.raises(CellError, match=reason) as error:
                read(tmp_path / name)
            assert str(tmp_path) not in str(error.value)


def test_resampling_keeps_the_tone():
    found = media.resample(TONE, RATE, 16000)
    assert len(found) == 1600
    expected = np.sin(2 * np.pi * 440 * np.arange(1600) / 16000) / 2
    assert np.abs(found - expected)[200:-200].max() < 1e-3
    assert media.resample(TONE, RATE, RATE) is TONE


def test_damaged_bytes_are_cell_errors_and_nothing_else():
    rng = random.Random(0)
    whole = [_saved(kind=kind) for kind in ("WAV", "FLAC", "OGG", "AIFF")]
    refused = 0
    for _ in range(200):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(min(len(data), 100))] = rng.randrange(256)
        try:
            samples, rate = media.sound(bytes(data[: rng.randrange(1, len(data) + 1)]))
        except CellError:
            refused += 1
        else:
            assert np.isfinite(samples).all()
            assert rate > 0
    assert refused > 20
