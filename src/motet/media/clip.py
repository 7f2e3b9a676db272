"""Clips -> frames evenly spread in time, each uint8 `[H, W, C]`, C = 1 (grey) or 3 (RGB).

A clip is a file of moving pictures, an array of frames, or several pictures in order. Of T frames, or T seconds, k are
taken from the middles of k equal parts: at (i + 1/2) T / k, i from 0 to k - 1.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, TypeVar

import numpy as np
from jaxtyping import UInt8

from motet.core.errors import CellError
from motet.media import container
from motet.media.npy import array
from motet.media.picture import image, image_size
from motet.media.source import several, stream

Frame = TypeVar("Frame")
_NPY = b"\x93NUMPY"
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"P5", b"P6", b"\0\0\0\x0cjP  ")


def video(source: object, *, num_frames: int, rate: float | None = None) -> UInt8[np.ndarray, "T H W C"]:
    """Decode one clip: at most `num_frames` of its frames, at most `rate` of a second where the clip is a file.

    A path, bytes, a tuple or list of pictures in order, an array `[T, H, W, C]`, or the path of a `.npy` file of one.
    A clip of fewer frames is given as it is. Errors: `CellError` with the reason: not a video, truncated, more than ten
    minutes, 10 megapixels or 36,000 frames, frames of unequal size; `SpecError` where PyAV is not installed.

    >>> video(np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1), num_frames=3).ravel()
    array([1, 3, 5], dtype=uint8)
    """
    frames = list(frames_of(source, num_frames=num_frames, rate=rate))
    if len({frame.shape for frame in frames}) > 1:
        raise CellError("frames of unequal size, or some of them grey")
    return np.stack(frames)


def frames_of(source: object, *, num_frames: int, rate: float | None = None) -> Iterator[UInt8[np.ndarray, "H W C"]]:
    """The frames that `video` stacks, one after the other; pictures may be of unequal size."""
    if isinstance(source, tuple) or several(source):
        yield from _of_pictures([one for one in source if one is not None], num_frames)  # type: ignore[attr-defined]
        return
    if isinstance(source, np.ndarray | list):
        yield from _of_array(_as_array(source), num_frames)
        return
    with stream(source) as data:
        head = data.read(12)
        if head.startswith(_NPY) and isinstance(source, str | os.PathLike):
            yield from _of_array(array(os.fspath(source)), num_frames)
        elif _is_picture(head):
            yield image(source)
        else:
            yield from _of_file(data, num_frames, rate)


def video_size(source: object) -> tuple[int, int, int, int]:
    """(frames, height, width, channels): of a file as its header and its first frame have it, of pictures the first.

    >>> video_size(np.zeros((5, 2, 3, 1), dtype=np.uint8))
    (5, 2, 3, 1)
    """
    if isinstance(source, tuple) or several(source):
        parts = [one for one in source if one is not None]  # type: ignore[attr-defined]
        return (len(parts), *_of_part(image_size, parts, 0))
    if isinstance(source, np.ndarray | list):
        return _array_size(_as_array(source))
    with stream(source) as data:
        head = data.read(12)
        if head.startswith(_NPY) and isinstance(source, str | os.PathLike):
            return _array_size(array(os.fspath(source)))
        return (1, *image_size(source)) if _is_picture(head) else _file_size(data)


def middles(count: int, num: int) -> list[int]:
    """Which of `count` things stand in the middles of `num` equal parts; all of them where there are no more.

    >>> middles(8, 4), middles(2, 4)
    ([1, 3, 5, 7], [0, 1])
    """
    num = min(count, num)
    return [(2 * place + 1) * count // (2 * num) for place in range(num)]


def shown_at(frames: Iterable[tuple[float, Frame]], times: Sequence[float]) -> Iterator[Frame]:
    """Of frames, each with the time when it appears, those that are seen at these times, each of them once.

    >>> list(shown_at([(0.0, "a"), (1.0, "b"), (2.0, "c"), (3.0, "d")], [0.2, 0.8, 2.5]))
    ['a', 'c']
    """
    wanted, seen = list(times), None
    for time, frame in frames:
        if seen is not None and wanted[0] < time:
            yield seen
            wanted = [one for one in wanted if one >= time]
            if not wanted:
                return
        seen = frame
    if seen is not None:
        yield seen


def _of_pictures(parts: Sequence[object], num_frames: int) -> Iterator[UInt8[np.ndarray, "H W C"]]:
    if not parts:
        raise CellError("a list without anything in it")
    for place in middles(len(parts), num_frames):
        yield _of_part(image, parts, place)


def _of_part(read: Any, parts: Sequence[object], place: int) -> Any:
    if not parts:
        raise CellError("a list without anything in it")
    try:
        return read(parts[place])
    except CellError as error:
        raise CellError(str(error), place=place) from None


def _of_array(clip: np.ndarray, num_frames: int) -> Iterator[UInt8[np.ndarray, "H W C"]]:
    _array_size(clip)
    for place in middles(len(clip), num_frames):
        yield image(clip[place])


def _as_array(source: object) -> np.ndarray:
    try:
        return np.asarray(source)
    except ValueError:
        raise CellError("expected an array [T, H, W, C], found lists of unequal length") from None


def _array_size(clip: np.ndarray) -> tuple[int, int, int, int]:
    if clip.ndim != 4 or not clip.size:
        raise CellError(f"expected an array [T, H, W, C], found the shape {list(clip.shape)}")
    return (len(clip), *image_size(clip[0]))


def _is_picture(head: bytes) -> bool:
    return head.startswith(_PICTURES) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


def _of_file(data: BinaryIO, num_frames: int, rate: float | None) -> Iterator[UInt8[np.ndarray, "H W C"]]:
    with container.opened(data) as file:
        begins, ends = container.extent(file, container.pictures(file))
    if rate is not None:
        num_frames = min(num_frames, max(1, round((ends - begins) * rate)))
    times = [begins + (place + 0.5) * (ends - begins) / num_frames for place in range(num_frames)]
    with container.opened(data) as file:
        found = 0
        for found, frame in enumerate(shown_at(_timed(file), times), start=1):  # noqa: B007
            yield _pixels(frame)
        if not found:
            raise CellError("the video has no frame that can be decoded")


def _file_size(data: BinaryIO) -> tuple[int, int, int, int]:
    with container.opened(data) as file:
        pictures = container.pictures(file)
        says = (file.duration or 0) / container.library().time_base / container.step_of(pictures)
        first = next((frame for _, frame in _timed(file)), None)
        if first is None:
            raise CellError("the video has no frame that can be decoded")
        height, width, channels = _pixels(first).shape
        return max(1, pictures.frames or round(says)), height, width, channels


def _timed(file: Any) -> Iterator[tuple[float, Any]]:
    """Every frame of a file, with the time when it appears."""
    pictures = container.pictures(file)
    step, time = container.step_of(pictures), 0.0
    for frame in container.decoded(file, pictures):
        time = time + step if frame.time is None else float(frame.time)
        yield time, frame


def _pixels(frame: Any) -> UInt8[np.ndarray, "H W C"]:
    """RGB, or grey as it is, turned as the file says it is to be shown."""
    grey = frame.format.name.startswith("gray")
    pixels = frame.to_ndarray(format="gray" if grey else "rgb24")
    turned = np.rot90(pixels, round(frame.rotation / 90))
    return np.ascontiguousarray(turned[:, :, None] if grey else turned)
