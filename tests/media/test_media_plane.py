"""Planes of numbers: what is stored is what is read, and what would change it is refused."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from motet import media
from motet.core.errors import CellError

NUMBERS = np.array([[0, 1, 2], [3, 11, 255]], dtype=np.uint8)


def saved(picture: Image.Image, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    picture.save(out, kind)
    return out.getvalue()


def palette() -> Image.Image:
    picture = Image.frombytes("P", (3, 2), NUMBERS.tobytes())
    picture.putpalette([255 - index // 3 for index in range(768)])  # no colour is its own number
    return picture


WIDE = np.array([[0, 300, 65535]], dtype=np.uint16)
KINDS = {
    "grey PNG": (saved(Image.fromarray(NUMBERS)), NUMBERS),
    "palette PNG": (saved(palette()), NUMBERS),
    "16 bit PNG": (saved(Image.fromarray(WIDE)), WIDE),
    "16 bit TIFF": (saved(Image.fromarray(WIDE), "TIFF"), WIDE),
    "float TIFF": (saved(Image.fromarray(np.float32([[0.5, -2.0]])), "TIFF"), np.float32([[0.5, -2.0]])),
    "1 bit PNG": (saved(Image.fromarray(NUMBERS > 2)), (NUMBERS > 2).astype(np.uint8)),
    "BMP": (saved(Image.fromarray(NUMBERS), "BMP"), NUMBERS),
    "PGM": (saved(Image.fromarray(NUMBERS), "PPM"), NUMBERS),
    "npy": (media.plane_npy(NUMBERS.astype(np.int32) - 5), NUMBERS.astype(np.int32) - 5),
    "npy with a last side of 1": (media.plane_npy(NUMBERS[:, :, None]), NUMBERS),
    "array": (NUMBERS, NUMBERS),
    "lists": (NUMBERS.tolist(), NUMBERS),
    "truth values": (NUMBERS > 2, (NUMBERS > 2).astype(np.uint8)),
    "Pillow image": (palette(), NUMBERS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_that_are_stored_are_read(kind: str, tmp_path: object) -> None:
    source, expected = KINDS[kind]
    np.testing.assert_array_equal(media.plane(source), expected)


@pytest.mark.parametrize("name", ["grey PNG", "npy"])
def test_paths_bytes_and_pairs_of_both_hold_the_same(name: str, tmp_path: object) -> None:
    data, expected = KINDS[name]
    assert isinstance(data, bytes)
    path = f"{tmp_path}/plane.{'npy' if name == 'npy' else 'png'}"
    with open(path, "wb") as file:
        file.write(data)
    for source in (path, data, bytearray(data), {"bytes": data, "path": None}, {"bytes": None, "path": path}):
        np.testing.assert_array_equal(media.plane(source), expected)


REFUSED = {
    "colours": (saved(Image.fromarray(np.zeros((2, 2, 3), np.uint8))), "one number per pixel, found colours"),
    "GIF, whose writers renumber colours": (saved(palette(), "GIF"), "GIF does not keep numbers"),
    "JPEG": (saved(Image.fromarray(NUMBERS), "JPEG"), "JPEG does not keep numbers"),
    "no picture": (b"not a picture", "not a picture"),
    "half a PNG": (
        saved(Image.fromarray(np.random.default_rng(0).integers(0, 99, (64, 64), np.uint8)))[:900],
        "damaged",
    ),
    "half a npy": (media.plane_npy(NUMBERS)[:-2], "not a whole .npy"),
    "objects": (np.array([[None, 1]]), "an array of numbers"),
    "four sides": (np.zeros((2, 2, 2, 2)), "an array of numbers"),
    "no pixels": (np.zeros((0, 2)), "an array of numbers"),
    "ragged": ([[1, 2], [3]], "rows of equal length"),
    "complex": (np.zeros((2, 2), complex), "an array of numbers"),
    "a mapping": ({"no": "label"}, "expected a path or bytes"),
    "a number": (3, "expected a path or bytes"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_holds_no_plane_is_refused_with_the_reason(kind: str) -> None:
    source, reason = REFUSED[kind]
    with pytest.raises(CellError, match=reason):
        media.plane(source)


def test_pickled_objects_are_never_loaded() -> None:
    out = io.BytesIO()
    np.save(out, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CellError, match="plain numbers"):
        media.plane(out.getvalue())


def test_a_header_that_promises_too_much_is_refused_before_memory_is_taken() -> None:
    header = media.plane_npy(np.zeros((1, 1), np.uint8)).replace(b"(1, 1), }          ", b"(99999999, 99999), }")
    assert b"99999999" in header
    with pytest.raises(CellError):
        media.plane(header)


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=12), st.booleans())
def test_a_png_holds_every_number_it_is_given(values: list[int], high: bool) -> None:
    numbers = np.array(values).reshape((-1, 1) if high else (1, -1))
    np.testing.assert_array_equal(media.plane(media.plane_png(numbers)), numbers)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_a_stretched_plane_takes_the_number_nearest_to_each_middle(h: int, w: int, new_h: int, new_w: int) -> None:
    numbers = np.arange(h * w).reshape(h, w)
    found = media.stretched(numbers, (new_h, new_w))
    assert found.shape == (new_h, new_w)
    for y in range(new_h):
        for x in range(new_w):
            row, column = divmod(int(found[y, x]), w)
            middle = ((y + 0.5) * h / new_h, (x + 0.5) * w / new_w)
            assert abs(row + 0.5 - middle[0]) <= 0.5 + 1e-9
            assert abs(column + 0.5 - middle[1]) <= 0.5 + 1e-9


def test_stretching_agrees_with_pillow() -> None:
    numbers = np.random.default_rng(0).integers(0, 99, (18, 24)).astype(np.uint8)
    for size in ((12, 16), (36, 48), (9, 8)):
        expected = np.array(Image.fromarray(numbers).resize(size[::-1], Image.Resampling.NEAREST))
        np.testing.assert_array_equal(media.stretched(numbers, size), expected)
