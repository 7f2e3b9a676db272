"""The sound track of a video: float32 samples `[samples, channels]` and their rate."""

from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float32

from motet.core.errors import CellError, SpecError
from motet.media import container


def has_pictures_or_sound(data: BinaryIO) -> bool:
    """Whether PyAV is there and can open this; of a playlist or a text it can not."""
    try:
        with container.opened(data):
            return True
    except (CellError, SpecError):
        return False


def track_rate(data: BinaryIO) -> int:
    """Samples per second, from the header alone; raises `CellError` where there is no sound track."""
    with container.opened(data) as file:
        return int(container.sounds(file).codec_context.sample_rate)


def track(data: BinaryIO, *, most: int) -> tuple[Float32[np.ndarray, "samples channels"], int]:
    """The whole sound track, at most `most` values; raises `CellError` where there is none, or it is damaged."""
    with container.opened(data) as file:
        container.extent(file, container.sounds(file))
    with container.opened(data) as file:
        stream = container.sounds(file)
        blocks, size = list[np.ndarray](), 0
        for block in _decoded(file, stream):
            blocks.append(block)
            size += block.size
            if size > most:
                raise CellError(f"more than the {most:,} values allowed")
        if not blocks:
            raise CellError("the sound has no samples")
        return np.concatenate(blocks, axis=1).T, int(stream.codec_context.sample_rate)


def _decoded(file: Any, stream: Any) -> Any:
    """Blocks `[channels, samples]`."""
    floats = container.library().AudioResampler(format="fltp")
    for frame in file.decode(stream):
        yield from (one.to_ndarray() for one in floats.resample(frame))
    yield from (one.to_ndarray() for one in floats.resample(None))
