"""Sounds written as WAV and read back."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from motet import media
from motet.media import wav_bytes


@given(arrays.arrays(np.int16, st.integers(1, 50)), st.sampled_from([8000, 16000, 44100]))
def test_what_was_16_bit_comes_back_bit_for_bit(levels: np.ndarray, rate: int) -> None:
    samples = (levels / 32768).astype(np.float32)
    again, found = media.sound(wav_bytes(samples, rate))
    assert found == rate
    assert np.array_equal(again, samples)
    assert np.array_equal(soundfile.read(io.BytesIO(wav_bytes(samples, rate)), dtype="int16")[0], levels)


@given(arrays.arrays(np.float32, st.integers(1, 50), elements=st.floats(-1, 1, width=32)))
def test_anything_else_to_half_a_level(samples: np.ndarray) -> None:
    again, _ = media.sound(wav_bytes(samples, 8000))
    inside = samples < 32767 / 32768
    assert np.abs(again - samples)[inside].max(initial=0) <= 0.5 / 32768
    assert (again[~inside] == np.float32(32767 / 32768)).all()


def test_the_bytes_are_a_plain_wav_file() -> None:
    data = wav_bytes(np.array([0.0, 0.5, -1.0], dtype=np.float32), 8000)
    assert data[:4] + data[8:16] == b"RIFFWAVEfmt "
    form, channels, rate, _, size, bits = struct.unpack("<HHIIHH", data[20:36])
    assert (form, channels, rate, size, bits) == (1, 1, 8000, 2, 16)
    assert data.endswith(struct.pack("<3h", 0, 16384, -32768))
    assert wav_bytes(np.array([0.0, 0.5, -1.0]), 8000) == data, "no time stamp, and doubles alike"


def test_what_is_too_loud_is_cut_off_and_does_not_wrap() -> None:
    again, _ = media.sound(wav_bytes(np.array([1.0, 1.5, 1e30, -1.5, -1e30], dtype=np.float32), 8000))
    assert again.tolist() == [32767 / 32768] * 3 + [-1, -1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        wav_bytes(np.array([0, value]), 8000)
