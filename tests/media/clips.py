"""Clips made on the spot, as files of many kinds."""

import io
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

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


def unequal(sizes, *, kind="matroska", rate=8):
    """A file whose header says 16 x 16, with frames of these heights and widths."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as file:
        stream = file.add_stream("mjpeg", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuvj420p"
        for number, size in enumerate(sizes):
            frame = io.BytesIO()
            Image.new("RGB", size[::-1]).save(frame, "JPEG")
            packet = av.Packet(frame.getvalue())
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, rate), True
            packet.pts = packet.dts = number
            packet.duration = 1
            file.mux(packet)
    return buffer.getvalue()


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
