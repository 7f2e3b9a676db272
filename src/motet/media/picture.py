"""Pictures -> uint8 arrays `[H, W, C]`, C = 1 (grey) or 3 (RGB).

One rule per way of storing a picture, so that training and serving see the same values:
grey stays one channel, palettes and CMYK become RGB, transparent pixels are laid over white, 16 bits
keep their upper 8, the EXIF orientation is applied, and of several frames the first is taken.
"""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from motet.core.errors import CellError
from motet.media.source import stream

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 50_000_000
# Named, because Pillow would otherwise also try formats that start an interpreter (EPS) or that nobody has checked.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
_ORIENTATION = 0x0112
_GREY = ("1", "L", "LA", "La", "I", "F")


def image(source: object) -> UInt8[np.ndarray, "H W C"]:
    """Decode one picture: a path, bytes, a Pillow image, an array, or the `{"bytes", "path"}` dict of Hugging Face.

    Arrays are `[H, W]` or `[H, W, C]`, C = 1, 3 or 4: uint8, uint16 (upper 8 bits kept), bool, or floats from 0 to 1.
    Errors: `CellError` with the reason: not a picture, truncated, more than 50 megapixels.

    >>> image(np.zeros((2, 3), dtype=np.uint8)).shape
    (2, 3, 1)
    """
    if isinstance(source, (np.ndarray, list)):
        return _from_array(np.asarray(source))
    with opened(source) as picture:
        try:
            return _pixels(_upright(picture))
        except CellError:
            raise
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
            raise CellError(_reason(error)) from None


def image_size(source: object) -> tuple[int, int, int]:
    """(height, width, channels) as `image` would return them, from the header alone.

    >>> image_size(np.zeros((2, 3, 4), dtype=np.uint8))
    (2, 3, 3)
    """
    if isinstance(source, (np.ndarray, list)):
        height, width, channels = image(source).shape
        return height, width, channels
    with opened(source) as picture:
        width, height = picture.size
        if _orientation(picture) >= 5:
            width, height = height, width
        return height, width, 1 if _is_grey(picture) else 3


@contextmanager
def opened(source: object) -> Iterator["Image.Image"]:
    """A Pillow image whose header was read and whose size is within the cap; its stream is closed at the end."""
    from PIL import Image

    if isinstance(source, Image.Image):
        yield _within_cap(source)
        return
    with stream(source) as data:
        _load_formats()
        try:
            picture = Image.open(data, formats=FORMATS)
        except Exception as error:
            raise CellError(_reason(error)) from None
        yield _within_cap(picture)


@cache
def _load_formats() -> None:
    """Pillow loads the plugins of `formats` only where they are the preset ones."""
    for plugin in ("Png", "Jpeg", "WebP", "Bmp", "Gif", "Tiff", "Ppm", "Jpeg2K"):
        importlib.import_module(f"PIL.{plugin}ImagePlugin")


def _within_cap(picture: "Image.Image") -> "Image.Image":
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise CellError(f"{width} x {height} pixels, more than the {MAX_PIXELS // 1_000_000} megapixels allowed")
    if not width * height:
        raise CellError("the picture has no pixels")
    return picture


def _pixels(picture: "Image.Image") -> UInt8[np.ndarray, "H W C"]:
    mode = picture.mode
    if mode in ("L", "RGB"):
        array = np.array(picture)
    elif mode == "1":
        array = np.array(picture.convert("L"))
    elif mode.startswith("I"):
        array = _upper_bits(np.array(picture))
    elif mode == "F":
        raise CellError("a picture of floating point values; save it as 8 bits, or as a .npy array")
    elif mode in ("LA", "La"):
        array = np.array(_over_white(picture.convert("RGBA")).convert("L"))
    elif mode in ("RGBA", "RGBa", "PA") or "transparency" in picture.info:
        array = np.array(_over_white(picture.convert("RGBA")))
    else:
        array = np.array(picture.convert("RGB"))
    return array[:, :, None] if array.ndim == 2 else array


def _over_white(picture: "Image.Image") -> "Image.Image":
    from PIL import Image

    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, picture).convert("RGB")


def _upper_bits(array: np.ndarray) -> UInt8[np.ndarray, "H W"]:
    if array.min() < 0 or array.max() > 65535:
        raise CellError("a picture of 32-bit values; save it as 8 or 16 bits")
    return (array >> 8).astype(np.uint8)


def _from_array(array: np.ndarray) -> UInt8[np.ndarray, "H W C"]:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise CellError(f"expected an array [H, W] or [H, W, C] with C = 1, 3 or 4, found shape {list(array.shape)}")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise CellError(f"{array.shape[1]} x {array.shape[0]} pixels, more than {MAX_PIXELS // 1_000_000} megapixels")
    values = _as_bytes(array)
    if values.shape[2] == 4:
        from PIL import Image

        return np.array(_over_white(Image.fromarray(values)))
    return np.ascontiguousarray(values)


def _as_bytes(array: np.ndarray) -> UInt8[np.ndarray, "H W C"]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    if array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 255:
        return array.astype(np.uint8)
    if array.dtype.kind == "f" and np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1:
        return np.asarray(np.rint(array * 255), dtype=np.uint8)
    raise CellError(f"expected uint8, uint16, bool, or floats from 0 to 1, found {array.dtype} outside that")


def _upright(picture: "Image.Image") -> "Image.Image":
    from PIL import Image

    turned: Sequence[Any] = (
        None,
        None,
        Image.Transpose.FLIP_LEFT_RIGHT,
        Image.Transpose.ROTATE_180,
        Image.Transpose.FLIP_TOP_BOTTOM,
        Image.Transpose.TRANSPOSE,
        Image.Transpose.ROTATE_270,
        Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_90,
    )
    step = turned[_orientation(picture)]
    return picture if step is None else picture.transpose(step)


def _orientation(picture: "Image.Image") -> int:
    # A PNG may hold its EXIF behind the pixels, where asking for it decodes them all; Pillow itself turns a TIFF.
    if "exif" not in picture.info or picture.format == "TIFF":
        return 1
    try:
        found = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF does not make a picture unreadable
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _is_grey(picture: "Image.Image") -> bool:
    if picture.mode == "L" and "transparency" in picture.info:
        return False
    return picture.mode in _GREY or picture.mode.startswith("I;16")


def _reason(error: Exception) -> str:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"more than the {MAX_PIXELS // 1_000_000} megapixels allowed"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in a format that can be read (PNG, JPEG, WebP, BMP, GIF, TIFF)"
    if "truncated" in str(error).lower():
        return "the picture is truncated"
    return "the picture is damaged"
