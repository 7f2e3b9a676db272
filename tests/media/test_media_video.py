import io
import os
import random
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.media.clips import RATE, frames, tone, unequal, written

from motet import media
from motet.core.errors import CellError, SpecError
from motet.media import container
from motet.media.clip import middles, shown_at

CLIP = frames(12)
FILE = written(CLIP)
NOISE = np.random.default_rng(0).integers(0, 256, (24, 24, 32, 3), dtype=np.uint8)
PLAYED = {
    "mp4": {"kind": "mp4", "codec": "mpeg4", "pixels": "yuv420p"},
    "avi": {"kind": "avi", "codec": "mpeg4", "pixels": "yuv420p"},
    "webm": {"kind": "webm", "codec": "libvpx-vp9", "pixels": "yuv420p"},
    "ts": {"kind": "mpegts", "codec": "mpeg2video", "pixels": "yuv420p", "rate": 25},
}


def _png(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def test_every_source_of_one_clip(tmp_path):
    (tmp_path / "a.mkv").write_bytes(FILE)
    np.save(tmp_path / "a.npy", CLIP)
    pictures = []
    for number, frame in enumerate(CLIP):
        pictures.append(tmp_path / f"{number}.png")
        pictures[-1].write_bytes(_png(frame))
    sources = [
        FILE,
        tmp_path / "a.mkv",
        str(tmp_path / "a.mkv"),
        {"bytes": FILE, "path": None},
        {"bytes": None, "path": str(tmp_path / "a.mkv")},
        CLIP,
        CLIP.tolist(),
        tmp_path / "a.npy",
        tuple(pictures),
        list(map(str, pictures)),
        [*map(_png, CLIP), None],
    ]
    for source in sources:
        found = media.video(source, num_frames=20)
        assert np.array_equal(found, CLIP)
        assert found.dtype == np.uint8
        # of 12 frames: the middles of four parts of three are the frames 1, 4, 7 and 10
        assert np.array_equal(media.video(source, num_frames=4), CLIP[[1, 4, 7, 10]])
        assert media.video_size(source) == CLIP.shape


@pytest.mark.parametrize("kind", PLAYED)
def test_formats(kind):
    data = written(CLIP, **PLAYED[kind])
    found = media.video(data, num_frames=4).astype(int)
    assert found.shape == (4, *CLIP.shape[1:])
    assert abs(found[:, :, 24:, 0].mean(axis=(1, 2)) - [10, 40, 70, 100]).max() < 4
    assert media.video_size(data) == CLIP.shape


def test_a_gif_moves():
    buffer = io.BytesIO()
    first, *rest = (Image.fromarray(np.full((4, 4, 3), value, np.uint8)) for value in (10, 200, 90))
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=100)
    assert media.video(buffer.getvalue(), num_frames=9)[:, 0, 0, 0].tolist() == [10, 200, 90]


def test_a_picture_is_a_clip_of_one_frame():
    assert np.array_equal(media.video(_png(CLIP[3]), num_frames=4), CLIP[3:4])
    assert media.video_size((_png(CLIP[3]),)) == (1, 24, 32, 3)


def test_grey_stays_one_channel():
    data = written(CLIP[..., :1].repeat(3, axis=3), pixels="gray")
    assert np.array_equal(media.video(data, num_frames=12), CLIP[..., :1])
    assert media.video_size(data) == (12, 24, 32, 1)


def test_a_clip_is_turned_as_the_file_says():
    data = written(CLIP, kind="mov", codec="mpeg4", pixels="yuv420p", turn=90)
    found = media.video(data, num_frames=12)
    assert found.shape == (12, 32, 24, 3) == (media.video_size(data))
    assert abs(found[8].astype(int) - np.rot90(CLIP[8])).mean() < 8
    assert abs(found[8].astype(int) - np.rot90(CLIP[8], -1)).mean() > 30


def test_at_most_so_many_frames_of_a_second():
    # 1.5 seconds at 2 a second: three frames, at 1/4, 3/4 and 5/4 seconds
    assert np.array_equal(media.video(FILE, num_frames=8, rate=2), CLIP[[2, 6, 10]])
    assert len(media.video(FILE, num_frames=2, rate=2)) == 2
    assert len(media.video(FILE, num_frames=8, rate=0.01)) == 1


@settings(max_examples=200)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12), num=st.integers(1, 12))
def test_what_is_seen_at_a_time_is_the_last_frame_that_appeared(lengths, num):
    starts = np.cumsum([0, *lengths])
    times = [(place + 0.5) * starts[-1] / num for place in range(num)]
    expected = [max(number for number, start in enumerate(starts[:-1]) if start <= time) for time in times]
    found = list(shown_at(zip(starts[:-1].astype(float), range(len(lengths)), strict=True), times))
    assert found == sorted(set(expected))
    if len(set(lengths)) == 1:  # frames of one length: the rule for lists
        assert found == middles(len(lengths), num)


def _bad():
    cut = written(CLIP, kind="mp4", codec="mpeg4", pixels="yuv420p")
    return {
        "no video": (b"hello", "not a video"),
        "zero bytes": (b"", "zero bytes"),
        "half a file": (FILE[: len(FILE) // 2], "truncated: 0.. of 1.5 seconds"),
        "an MP4 without its end": (cut[:-200], "not a video|truncated|damaged"),
        "an AVI without its end": (written(NOISE, **PLAYED["avi"])[:-5000], "truncated"),
        "a number": (5, "expected a path or bytes, found int"),
        "an array of three dimensions": (CLIP[0], r"expected an array \[T, H, W, C\], found the shape \[24, 32, 3\]"),
        "no frames": (CLIP[:0], "expected an array"),
        "lists of unequal length": ([[[[1]]], [[1]]], "unequal length"),
        "floats above 1": (CLIP * 1.5, "expected uint8"),
        "no pictures": ((), "without anything"),
        "pictures of unequal size": ((_png(CLIP[0]), _png(CLIP[0, 4:])), "unequal size"),
    }


@pytest.mark.parametrize("case", _bad())
def test_bad_clips(case):
    source, reason = _bad()[case]
    with pytest.raises(CellError, match=reason):
        media.video(source, num_frames=4)


def test_of_several_pictures_the_bad_one_is_named():
    with pytest.raises(CellError, match="not a picture") as error:
        media.video((_png(CLIP[0]), b"hello"), num_frames=4)
    assert error.value.place == 1


def test_bad_files_do_not_name_their_folder(tmp_path, capfd):
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "cut.mkv").write_bytes(FILE[: len(FILE) // 2])
    (tmp_path / "empty.mp4").touch()
    os.mkfifo(tmp_path / "pipe.mp4")
    reasons = {"text.mp4": "not a video", "empty.mp4": "empty", "none.mp4": "No such file", ".": "not a regular file"}
    reasons |= {"pipe.mp4": "not a regular file", "cut.mkv": "truncated"}
    for name, reason in reasons.items():
        with pytest.raises(CellError, match=reason) as error:
            media.video(tmp_path / name, num_frames=4)
        assert str(tmp_path) not in str(error.value)
    assert capfd.readouterr() == ("", "")


LISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.5,\n{secret}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile '{secret}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 49170 RTP/AVP 31\n",
    "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation id="1"><BaseURL>{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>',
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_of_files_opens_none(kind, tmp_path, monkeypatch):
    secret = tmp_path / "secret.ts"
    secret.write_bytes(written(CLIP, **PLAYED["ts"]))
    lists = tmp_path / f"list.{kind}"
    lists.write_text(LISTS[kind].format(secret=secret))
    opened = []
    monkeypatch.setattr(container, "_nothing_else", lambda url, flags, options: opened.append(url))
    for source in (lists, lists.read_bytes()):
        for read in (lambda cell: media.video(cell, num_frames=2), media.video_size, media.sound):
            with pytest.raises(CellError, match="not a"):
                read(source)
    assert not opened


def test_without_the_list_of_formats_another_file_is_still_refused(tmp_path, monkeypatch):
    secret = tmp_path / "secret.ts"
    secret.write_bytes(written(CLIP, **PLAYED["ts"]))
    lists = LISTS["m3u8"].format(secret=secret).encode()
    monkeypatch.setattr(container, "_OPTIONS", {})
    with pytest.raises(CellError):
        media.video(lists, num_frames=2)


def test_caps_are_checked_from_the_header(monkeypatch):
    monkeypatch.setattr("motet.media.clip._timed", lambda file: pytest.fail("a frame was decoded"))
    for name, value, reason in (
        ("MAX_SECONDS", 1, "seconds, more than the 0 minutes"),
        ("MAX_PIXELS", 700, "32 x 24 pixels, more than"),
        ("MAX_FRAMES", 11, "more than the 11 frames"),
        ("MAX_PIXELS_DECODED", 5 * 24 * 32, "more than the 5 frames"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(container, name, value)
            with pytest.raises(CellError, match=reason):
                media.video(FILE, num_frames=4)


@pytest.mark.parametrize("kind", ["matroska", "avi", "mp4"])
def test_frames_are_capped_as_large_as_they_turn_out_to_be(kind, monkeypatch):
    data = unequal([(16, 16)] * 2 + [(64, 80)] * 10, kind=kind)
    whole = 2 * 16 * 16 + 10 * 64 * 80
    assert media.video_size(data) == (12, 16, 16, 3)
    monkeypatch.setattr(container, "MAX_PIXELS_DECODED", whole)
    assert len(list(media.frames_of(data, num_frames=12))) == 12
    monkeypatch.setattr(container, "MAX_PIXELS_DECODED", whole - 1)
    with pytest.raises(CellError, match=f"larger than it says, more than the {whole - 1:,} pixels allowed"):
        list(media.frames_of(data, num_frames=12))


def test_a_frame_that_is_not_kept_is_not_too_large_either(monkeypatch):
    data = unequal([(16, 16)] * 3 + [(64, 80)] + [(16, 16)] * 8)
    assert [frame.shape for frame in media.frames_of(data, num_frames=1)] == [(16, 16, 3)]
    monkeypatch.setattr(container, "MAX_PIXELS", 1000)
    with pytest.raises(CellError, match="damaged"):  # the decoder itself refuses it
        list(media.frames_of(data, num_frames=1))
    monkeypatch.setattr(container, "_by_one_thread", lambda stream: stream)  # a decoder that does not ask
    with pytest.raises(CellError, match="80 x 64 pixels, more than"):
        list(media.frames_of(data, num_frames=1))


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SpecError, match=r"install motet\[media\]"):
        media.video(FILE, num_frames=4)
    with pytest.raises(CellError, match="not a sound"):
        media.sound(FILE)
    assert len(media.video(CLIP, num_frames=4)) == 4


def test_the_sound_track_of_a_video(tmp_path):
    data = written(CLIP, sound="pcm_s16le")
    (tmp_path / "a.mkv").write_bytes(data)
    for source in (data, tmp_path / "a.mkv"):
        samples, rate = media.sound(source)
        assert (len(samples), rate) == (12000, RATE) == (12000, media.sound_rate(source))
        assert abs(samples - tone(1.5)).max() < 1e-4
    assert np.array_equal(media.video(data, num_frames=12), CLIP)
    large = written(NOISE, sound="pcm_s16le")  # more than is buffered at once
    (tmp_path / "b.mkv").write_bytes(large)
    assert np.array_equal(media.sound(tmp_path / "b.mkv")[0], media.sound(large)[0])
    compressed, _ = media.sound(written(CLIP, **PLAYED["mp4"], sound="aac"))
    assert abs(compressed[2000:10000] - tone(1.5)[2000:10000]).mean() < 0.05


def test_a_video_without_sound_or_with_half_of_it_is_refused(monkeypatch):
    for read in (media.sound, media.sound_rate):
        with pytest.raises(CellError, match="the video has no sound track"):
            read(FILE)
    data = written(CLIP, sound="pcm_s16le")
    with pytest.raises(CellError, match="truncated"):
        media.sound(data[: len(data) // 2])
    monkeypatch.setattr("motet.media.audio.MAX_VALUES", 9000)
    with pytest.raises(CellError, match="more than the 9,000 values"):
        media.sound(data)


def test_damaged_bytes_are_cell_errors_and_nothing_else(capfd):
    chance = random.Random(0)
    whole = [FILE, *(written(CLIP, **PLAYED[kind]) for kind in ("mp4", "avi", "ts"))]
    refused = 0
    for _ in range(150):
        data = bytearray(chance.choice(whole))
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            found = media.video(bytes(data[: chance.randrange(1, len(data) + 1)]), num_frames=4)
        except CellError:
            refused += 1
        else:
            assert found.dtype == np.uint8
            assert found.ndim == 4
    assert refused > 30
    assert capfd.readouterr() == ("", "")
