"""Files of moving pictures and sound, by PyAV: opened so that they can make it open nothing else, and capped.

A playlist names other files; none of the formats that are read does, no protocol is allowed, and whatever asks for a
file is refused.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from motet.core.errors import CellError, SpecError

MAX_SECONDS = 600
MAX_PIXELS = 10_000_000  # of a frame
MAX_FRAMES = 36_000
MAX_PIXELS_DECODED = 40_000_000_000  # ten minutes of 1920 x 1080 at 30 frames a second
FORMATS = ("mov", "matroska", "avi", "mpeg", "mpegts", "ogg", "gif", "flv", "asf")
LOST = 0.1  # a file that ends so much before it says it does is truncated
_OPTIONS = {
    "format_whitelist": ",".join(FORMATS),
    "protocol_whitelist": "none",
    "max_pixels": str(MAX_PIXELS),
}
_STEP = 1 / 25  # seconds of a frame, where nothing tells


def library() -> Any:
    """PyAV; raises `SpecError` where it is not installed."""
    try:
        import av
    except ImportError:
        raise SpecError("video files are read by the library PyAV; install motet[media]") from None
    return av


@contextmanager
def opened(data: BinaryIO) -> Iterator[Any]:
    """A container of PyAV whose length is within the cap.

    Errors: `CellError` for what is none, is too long, or turns out to be damaged while it is read; `SpecError` where
    PyAV is not installed.
    """
    av = library()
    try:
        found = av.open(
            _from_the_start(data), mode="r", options=dict(_OPTIONS), metadata_errors="replace", io_open=_nothing_else
        )
    except Exception:  # ffmpeg's own words would name the file
        raise CellError("not a video in a format that can be read (MP4, MOV, MKV, WebM, AVI, MPEG, GIF)") from None
    with found:
        _check_seconds((found.duration or 0) / av.time_base)
        try:
            yield found
        except (CellError, SpecError, GeneratorExit):
            raise
        except Exception:  # decoders raise nearly anything on damaged bytes
            raise CellError("the video is damaged") from None


def pictures(container: Any) -> Any:
    """The stream of moving pictures, decoded by one thread; raises `CellError` where there is none."""
    from av.stream import Disposition

    found = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
    if not found or found[0].codec_context is None:
        raise CellError("no moving pictures that can be read")
    check_size(found[0].codec_context.width, found[0].codec_context.height)
    return _by_one_thread(found[0])


def decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Every frame of a stream of pictures, as large as it turns out to be, whatever the header says.

    Errors: `CellError` for a frame that is damaged or too large, for too many frames, too many pixels in all.
    """
    left = MAX_PIXELS_DECODED
    for number, frame in enumerate(container.decode(stream)):
        if frame.is_corrupt or number >= MAX_FRAMES:
            raise CellError("the video is damaged")
        check_size(frame.width, frame.height)
        left -= frame.width * frame.height
        if left < 0:
            raise CellError(f"its frames are larger than it says, more than the {MAX_PIXELS_DECODED:,} pixels allowed")
        yield frame


def sounds(container: Any) -> Any:
    """The stream of sound, decoded by one thread; raises `CellError` where there is none."""
    if not container.streams.audio or container.streams.audio[0].codec_context is None:
        raise CellError("the video has no sound track")
    return _by_one_thread(container.streams.audio[0])


def extent(container: Any, stream: Any) -> tuple[float, float]:
    """When the first frame of the stream appears and when the last one goes, in seconds; nothing is decoded.

    Errors: `CellError` for too many frames, too many seconds, a file that ends before it says it does.
    """
    begins, ends, count, whole = float("inf"), float("-inf"), 0, [float("inf"), float("-inf")]
    for packet in container.demux():
        if packet.pts is None and packet.dts is None:  # the end of a stream
            continue
        start = float((packet.dts if packet.pts is None else packet.pts) * packet.time_base)
        end = start + (float(packet.duration * packet.time_base) if packet.duration else step_of(packet.stream))
        whole = [min(whole[0], start), max(whole[1], end)]
        if packet.stream is stream:
            begins, ends, count = min(begins, start), max(ends, end), count + 1
            _check_count(count, stream)
    if not count:
        raise CellError("the video is empty or truncated")
    _check_seconds(ends - begins)
    _check_whole(container, stream, whole[1] - whole[0], count)
    return begins, ends


def step_of(stream: Any) -> float:
    """Seconds from one frame to the next, as the stream's header has it."""
    rate = getattr(stream, "average_rate", None)
    return float(1 / rate) if rate else _STEP


def check_size(width: int, height: int) -> None:
    """Raises `CellError` for frames that are too large, or that have no pixels."""
    if width * height > MAX_PIXELS:
        raise CellError(f"{width} x {height} pixels, more than the {MAX_PIXELS // 1_000_000} megapixels allowed")
    if width * height <= 0:
        raise CellError("the video has no pixels, or is truncated")


def _check_whole(container: Any, stream: Any, seconds: float, count: int) -> None:
    says = (container.duration or 0) / library().time_base
    if seconds < (1 - LOST) * says - step_of(stream):
        raise CellError(f"the video is truncated: {seconds:.1f} of {says:.1f} seconds")
    if container.format.name == "avi" and stream.type == "video" and count < (1 - LOST) * stream.frames:
        raise CellError(f"the video is truncated: {count} of {stream.frames} frames")  # it guesses its seconds anew


def _check_seconds(seconds: float) -> None:
    if seconds > MAX_SECONDS:
        raise CellError(f"{seconds:.0f} seconds, more than the {MAX_SECONDS // 60} minutes allowed")


def _check_count(count: int, stream: Any) -> None:
    if stream.type != "video":
        return
    most = min(MAX_FRAMES, MAX_PIXELS_DECODED // max(1, stream.codec_context.width * stream.codec_context.height))
    if count > most:
        raise CellError(f"more than the {most:,} frames allowed at this size")


def _by_one_thread(stream: Any) -> Any:
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def _from_the_start(data: BinaryIO) -> BinaryIO:
    """The same bytes; of a file without a buffer, which does not know of it where others that read it have been."""
    if isinstance(data, io.BytesIO):
        data.seek(0)
        return data
    os.lseek(data.fileno(), 0, os.SEEK_SET)
    return io.FileIO(data.fileno(), closefd=False)


def _nothing_else(url: str, flags: int, options: object) -> Any:
    """What PyAV calls for any other file that a container names."""
    raise PermissionError(os.strerror(1))
