"""Sound -> mono float32 samples in -1..1 and their rate, and resampling.

Several channels are averaged. At most ten minutes, as the header says, are decoded. What libsndfile can not read may
be a video, where PyAV is installed: the sound is then its sound track.
"""

import io
import os
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float32

from motet.core.errors import CellError
from motet.media.source import stream
from motet.media.track import has_pictures_or_sound, track, track_rate

MAX_SECONDS = 600
MAX_VALUES = MAX_SECONDS * 96_000  # over all channels: 230 MB once decoded
_UNKNOWN_LENGTH = (0, 0xFFFFFFFF)


def sound(source: object) -> tuple[Float32[np.ndarray, "samples"], int]:
    """Decode one sound: a path, bytes, `(array, rate)`, or a dict `{"array", "sampling_rate"}` or `{"bytes", "path"}`.

    Arrays are `[samples]` or `[samples, channels]`, floats or 16-bit integers.
    Errors: `CellError` with the reason: not a sound, truncated, empty, longer than ten minutes, not finite, a video
    without a sound track.

    >>> samples, rate = sound((np.zeros(8, dtype=np.float32), 8000))
    >>> samples.dtype, rate
    (dtype('float32'), 8000)
    """
    given = _given_samples(source)
    samples, rate = _from_array(*given) if given is not None else _decoded(source)
    if samples.ndim == 2:
        samples = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    if not len(samples):
        raise CellError("the sound has no samples")
    if not np.isfinite(samples).all():
        raise CellError("the sound holds values that are not finite")
    return np.ascontiguousarray(samples, dtype=np.float32), rate


def sound_rate(source: object) -> int:
    """Samples per second, from the header alone.

    >>> sound_rate((np.zeros(8), 8000))
    8000
    """
    given = _given_samples(source)
    if given is not None:
        return _rate(given[1])
    with stream(source) as data:
        opened = _opened_or_none(data)
        if opened is None:
            return _rate(track_rate(data))
        with opened as file:
            return int(file.samplerate)


def resample(
    samples: Float32[np.ndarray, "samples"], source_rate: int, target_rate: int
) -> Float32[np.ndarray, "resampled"]:
    """The same sound at another rate (soxr, high quality), as long in seconds to within one sample.

    >>> len(resample(np.zeros(800, dtype=np.float32), 8000, 16000))
    1600
    """
    if source_rate == target_rate:
        return samples
    import soxr

    return np.asarray(soxr.resample(samples, source_rate, target_rate), dtype=np.float32)


def _given_samples(source: object) -> tuple[object, object] | None:
    if isinstance(source, Mapping) and source.get("array") is not None:
        return source["array"], source.get("sampling_rate")
    if isinstance(source, (tuple, list)) and len(source) == 2:
        return source[0], source[1]
    return None


def _from_array(given: object, given_rate: object) -> tuple[np.ndarray, int]:
    samples, rate = np.asarray(given), _rate(given_rate)
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "fi":
        raise CellError(f"expected samples [N] or [N, channels], found {samples.dtype} {list(samples.shape)}")
    _check_length(len(samples), rate)
    if samples.dtype.kind == "i":
        samples = samples / np.float32(-float(np.iinfo(samples.dtype).min))
    return samples.astype(np.float32), rate


def _rate(rate: object) -> int:
    if not isinstance(rate, (int, np.integer)) or isinstance(rate, bool) or not 1 <= rate <= 768_000:
        raise CellError(f"expected a sampling rate in samples per second, found {rate!r}")
    return int(rate)


def _decoded(source: object) -> tuple[np.ndarray, int]:
    with stream(source) as data:
        _check_riff(data)
        opened = _opened_or_none(data)
        if opened is None:
            return _of_video(data)
        with opened as file:
            _check_length(file.frames, _rate(file.samplerate), channels=file.channels)
            frames = min(file.frames, MAX_SECONDS * file.samplerate)
            try:
                samples = file.read(frames, dtype="float32", always_2d=True)
            except Exception:
                raise CellError("the sound is damaged or truncated") from None
            if len(samples) < frames:
                raise CellError(f"the sound is truncated: {len(samples)} of {frames} samples")
            return samples, int(file.samplerate)


def _opened_or_none(data: BinaryIO) -> Any:
    """The sound as libsndfile opens it; None for what it refuses and PyAV, where that is installed, does not."""
    try:
        return _opened(data)
    except CellError:
        if has_pictures_or_sound(data):
            return None
        raise


def _of_video(data: BinaryIO) -> tuple[np.ndarray, int]:
    samples, rate = track(data, most=MAX_VALUES)
    _check_length(len(samples), _rate(rate), channels=samples.shape[1])
    return samples, rate


def _opened(data: BinaryIO) -> Any:
    import soundfile

    data.seek(0)
    try:
        if isinstance(data, io.BytesIO):
            return soundfile.SoundFile(_Forgiving(data.getvalue()))
        os.lseek(data.fileno(), 0, os.SEEK_SET)
        return soundfile.SoundFile(data.fileno(), closefd=False)
    except Exception:  # libsndfile's own words would name the file
        raise CellError("not a sound in a format that can be read (WAV, FLAC, OGG, MP3, AIFF)") from None


class _Forgiving(io.BytesIO):
    """libsndfile seeks before the start of damaged files; an error there would be printed, not raised."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return -1


def _check_length(frames: int, rate: int, *, channels: int = 1) -> None:
    if not frames:
        raise CellError("the sound has no samples")
    if frames > MAX_SECONDS * rate:
        raise CellError(f"{frames / rate:.0f} seconds, more than the {MAX_SECONDS // 60} minutes allowed")
    if frames * channels > MAX_VALUES:
        raise CellError(f"{frames * channels:,} values in {channels} channels, more than the {MAX_VALUES:,} allowed")


def _check_riff(data: BinaryIO) -> None:
    """Refuse a WAV whose samples are cut off: libsndfile would return the rest without a word."""
    size = data.seek(0, 2)
    data.seek(0)
    head = data.read(12)
    position = 12
    while head[:4] == b"RIFF" and head[8:] == b"WAVE" and position + 8 <= size:
        data.seek(position)
        chunk = data.read(8)
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            if length not in _UNKNOWN_LENGTH and position + 8 + length > size:
                raise CellError(f"the sound is truncated: {size - position - 8} of {length} bytes")
            break
        position += 8 + length + length % 2
