"""Clips made on the spot, as files of many kinds."""

import io

import numpy as np
import pytest

av = pytest.importorskip("av", reason="the extra `media` is not installed")

SIZE = (24, 32)
RATE = 8000


def frames(count, *, size=SIZE):
    """Frame i is of the colour (10 i, 5 i, 0), its first i columns white."""
    clip = np.zeros((count, *size, 3), dtype=np.uint8)
    for number, frame in enumerate(clip):
        frame[..., 0], frame[..., 1] = 10 * number % 256, 5 * number % 256
        frame[:, :number] = 255
    return clip


def tone(seconds):
    return (np.sin(np.arange(round(RATE * seconds)) * 0.3) / 2).astype(np.float32)


def written(clip, *, kind="matroska", codec="ffv1", pixels="bgr0", rate=8, sound=None, turn=0):
    """The clip as bytes of a file; `sound` names the codec of its track."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as file:
        pictures = file.add_stream(codec, rate=rate)
        (pictures.height, pictures.width), pictures.pix_fmt = clip.shape[1:3], pixels
        if turn:
            pictures.set_display_rotation(turn)
        track = file.add_stream(sound, rate=RATE, layout="mono") if sound else None
        for number, frame in enumerate(clip):
            made = av.VideoFrame.from_ndarray(frame, format="rgb24")
            made.pts = number
            file.mux(pictures.encode(made))
        file.mux(pictures.encode())
        if track:
            block = av.AudioFrame.from_ndarray(tone(len(clip) / rate)[None], format="flt", layout="mono")
            block.sample_rate, block.pts = RATE, 0
            file.mux([*track.encode(block), *track.encode()])
    return buffer.getvalue()
