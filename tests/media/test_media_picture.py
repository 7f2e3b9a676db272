import io
import random

import numpy as np
import pytest
from PIL import Image

from motet import media
from motet.core.errors import CellError
from motet.media import picture as module

RGB = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 13
GREY = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40


def _saved(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_every_source_of_one_picture(tmp_path):
    data = _saved(Image.fromarray(RGB))
    (tmp_path / "a.png").write_bytes(data)
    sources = [
        data,
        bytearray(data),
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        {"bytes": data, "path": None},
        {"bytes": None, "path": str(tmp_path / "a.png")},
        Image.fromarray(RGB),
        RGB,
        RGB.tolist(),
    ]
    for source in sources:
        found = media.image(source)
        assert np.array_equal(found, RGB)
        assert found.dtype == np.uint8
        assert found.flags.writeable
        assert media.image_size(source) == (2, 3, 3)


def _palette():
    image = Image.new("P", (3, 2))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putpixel((1, 1), 1)
    return image


def _half_transparent(mode):
    image = Image.new(mode, (3, 2))
    image.putalpha(Image.fromarray(np.array([[0, 128, 255], [255, 255, 255]], np.uint8)))
    return image


MODES = {
    "1": (Image.fromarray(GREY > 100), np.where(GREY > 100, 255, 0)[:, :, None]),
    "L": (Image.fromarray(GREY), GREY[:, :, None]),
    "LA": (_half_transparent("L"), np.array([[255, 127, 0], [0, 0, 0]])[:, :, None]),
    "RGBA": (_half_transparent("RGB"), np.repeat(np.array([[255, 127, 0], [0, 0, 0]])[:, :, None], 3, 2)),
    "P": (_palette(), np.array([[[10, 20, 30]] * 3, [[10, 20, 30], [200, 100, 0], [10, 20, 30]]])),
    "I;16": (Image.fromarray(GREY.astype(np.uint16) * 256 + 17), GREY[:, :, None]),
}


@pytest.mark.parametrize("mode", MODES)
def test_modes(mode):
    image, expected = MODES[mode]
    for source in (image, _saved(image)):
        assert np.array_equal(media.image(source), expected)
        assert media.image_size(source) == expected.shape


def test_a_palette_with_a_transparent_colour_is_laid_over_white():
    data = _saved(_palette(), transparency=0)
    assert media.image(data)[0, 0].tolist() == [255, 255, 255]
    assert media.image(data)[1, 1].tolist() == [200, 100, 0]


def test_cmyk():
    data = _saved(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", quality=95)
    red, green, blue = media.image(data)[4, 4].astype(int)
    assert red < 60 < 180 < min(green, blue)
    assert media.image_size(data) == (8, 8, 3)


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG"])
def test_formats(kind):
    data = _saved(Image.fromarray(np.full((16, 8, 3), 77, np.uint8)), kind)
    assert media.image(data).shape == (16, 8, 3) == media.image_size(data)
    assert np.abs(media.image(data).astype(int) - 77).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_orientation(orientation, kind):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _saved(Image.fromarray(RGB), kind, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert np.array_equal(media.image(data), expected)
    assert media.image_size(data) == expected.shape


def test_first_frame_of_several():
    frames = [Image.fromarray(np.full((4, 4, 3), value, np.uint8)) for value in (10, 200)]
    data = _saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (media.image(data) == 10).all()


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[True, False]]), [255, 0]),
        (np.array([[0.0, 1.0]]), [0, 255]),
        (np.array([[0, 65535]], np.uint16), [0, 255]),
        (np.array([[0, 255]]), [0, 255]),
        (np.array([[[0, 0, 0, 0], [9, 9, 9, 255]]], np.uint8), [255, 255, 255, 9, 9, 9]),
    ],
)
def test_arrays(array, expected):
    assert media.image(array).reshape(-1).tolist() == expected


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3),
        np.zeros((2, 2, 2)),
        np.zeros((0, 2)),
        np.full((2, 2), 1.5),
        np.full((2, 2), np.nan),
        np.full((2, 2), -1),
    ],
)
def test_arrays_that_are_no_pictures(array):
    with pytest.raises(CellError, match="expected"):
        media.image(array)


def _bad():
    png, jpeg = _saved(Image.fromarray(RGB)), _saved(Image.fromarray(RGB), "JPEG")
    return {
        "no picture": (b"hello", "not a picture"),
        "zero bytes": (b"", "zero bytes"),
        "half a PNG": (png[: len(png) // 2], "truncated|damaged|not a picture"),
        "half a JPEG": (_saved(Image.fromarray(np.zeros((64, 64, 3), np.uint8)), "JPEG")[:-30], "truncated|damaged"),
        "a JPEG header": (jpeg[:20], "truncated|damaged|not a picture"),
        "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not a picture"),
        "floats": (_saved(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF"), "floating point"),
        "a number": (5, "expected a path or bytes, found int"),
    }


@pytest.mark.parametrize("case", _bad())
def test_bad_pictures(case):
    source, reason = _bad()[case]
    with pytest.raises(CellError, match=reason):
        media.image(source)


def test_bad_files_do_not_name_their_folder(tmp_path):
    import os

    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    reasons = {
        "text.png": "not a picture",
        "empty.png": "empty",
        "none.png": "No such file",
        ".": "not a regular file",
        "pipe.png": "not a regular file",
    }
    for name, reason in reasons.items():
        for read in (media.image, media.image_size):
            with pytest.raises(CellError, match=reason) as error:
                read(tmp_path / name)
            assert str(tmp_path) not in str(error.value)


def test_the_cap_is_checked_before_decoding(monkeypatch):
    data = _saved(Image.new("1", (10_000, 6_000)))
    for read in (media.image, media.image_size):
        with pytest.raises(CellError, match="10000 x 6000 pixels, more than the 50 megapixels"):
            read(data)
    bomb = _saved(Image.new("1", (20_000, 10_000)))
    with pytest.raises(CellError, match="50 megapixels"):
        media.image(bomb)
    monkeypatch.setattr(module, "MAX_PIXELS", 5)
    with pytest.raises(CellError, match="more than"):
        media.image(RGB)


def test_damaged_bytes_are_cell_errors_and_nothing_else():
    rng = random.Random(0)
    whole = [_saved(Image.fromarray(RGB), kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")]
    refused = 0
    for _ in range(700):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            found = media.image(bytes(data[: rng.randrange(1, len(data) + 1)]))
        except CellError:
            refused += 1
        else:
            assert found.dtype == np.uint8
            assert found.shape[2] in (1, 3)
    assert refused > 100
