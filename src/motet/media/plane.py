"""Pictures whose pixels are numbers (masks of classes, depth) -> arrays `[H, W]` of these very numbers."""

import io
from collections.abc import Mapping

import numpy as np

from motet.core.errors import CellError
from motet.media.npy import array
from motet.media.picture import MAX_PIXELS, opened
from motet.media.source import stream

EXACT = ("PNG", "TIFF", "BMP", "PPM", None)
"""The formats that keep every number as it is, and pictures in memory."""
_NPY = b"\x93NUMPY"


def plane(source: object) -> np.ndarray:
    """The numbers of one picture: a path or bytes of a PNG, TIFF, BMP, PPM or `.npy`, a Pillow image, or an array.

    Of a picture with a palette the numbers of its colours, of one of 1, 8, 16 or 32 bits the values themselves.
    Errors: `CellError` with the reason: several numbers per pixel, a format that changes numbers (JPEG), damaged, more
    than 50 megapixels, not `[H, W]`.

    >>> plane([[0, 1], [1, 2]]).tolist()
    [[0, 1], [1, 2]]
    """
    if isinstance(source, np.ndarray | list):
        return _checked(_array_of(source))
    if _is_npy(source):
        return _checked(_from_npy(source))
    with opened(source) as picture:
        if picture.format not in EXACT:
            raise CellError(f"{picture.format} does not keep numbers as they are; save it as PNG, TIFF or .npy")
        if len(picture.getbands()) > 1:
            raise CellError(f"expected one number per pixel, found colours ({picture.mode}); save the numbers, as grey")
        try:
            numbers = np.array(picture)
        except Exception:  # Pillow's decoders raise nearly anything on damaged bytes
            raise CellError("the picture is damaged") from None
    return _checked(numbers)


def plane_png(numbers: np.ndarray) -> bytes:
    """A grey PNG of 8 bits, or of 16 where a number needs them, which `plane` reads as the same whole numbers.

    >>> plane(plane_png(np.array([[0, 300]]))).tolist()
    [[0, 300]]
    """
    from PIL import Image

    out, most = io.BytesIO(), numbers.max()
    assert numbers.min() >= 0
    assert most <= 65535
    Image.fromarray(numbers.astype(np.uint8 if most <= 255 else np.uint16)).save(out, format="PNG")
    return out.getvalue()


def plane_npy(numbers: np.ndarray) -> bytes:
    """The bytes of a `.npy` file, which `plane` reads as the same numbers.

    >>> plane(plane_npy(np.array([[0.5, 3.25]]))).tolist()
    [[0.5, 3.25]]
    """
    out = io.BytesIO()
    np.save(out, numbers, allow_pickle=False)
    return out.getvalue()


def stretched(numbers: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A plane of another height and width; each place takes the number nearest to its middle, so that none is new.

    >>> stretched(np.array([[1, 2]]), (2, 4)).tolist()
    [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    if numbers.shape == size:
        return numbers
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, numbers.shape, strict=True))
    return np.asarray(numbers[rows][:, columns])


def _array_of(source: object) -> np.ndarray:
    try:
        return np.asarray(source)
    except ValueError:
        raise CellError("expected rows of equal length, with a number for each pixel") from None


def _held(source: object) -> object:
    """The bytes or the path a cell holds."""
    if not isinstance(source, Mapping):
        return source
    return source.get("path") if source.get("bytes") is None else source["bytes"]


def _is_npy(source: object) -> bool:
    if hasattr(source, "getbands"):  # a Pillow image
        return False
    with stream(source) as data:
        return data.read(len(_NPY)) == _NPY


def _from_npy(source: object) -> np.ndarray:
    held = _held(source)
    if not isinstance(held, bytes | bytearray | memoryview):
        return array(held)  # type: ignore[arg-type]
    try:
        found = np.load(io.BytesIO(held), allow_pickle=False)
    except Exception:
        raise CellError("not a whole .npy array of plain numbers") from None
    return np.asarray(found)


def _checked(numbers: np.ndarray) -> np.ndarray:
    if numbers.ndim == 3 and numbers.shape[2] == 1:
        numbers = numbers[:, :, 0]
    if numbers.ndim != 2 or not numbers.size or numbers.dtype.kind not in "biuf":
        raise CellError(f"expected an array of numbers [H, W], found {numbers.dtype} of shape {list(numbers.shape)}")
    if numbers.size > MAX_PIXELS:
        raise CellError(f"{numbers.size} pixels, more than the {MAX_PIXELS // 1_000_000} megapixels allowed")
    return numbers.astype(np.uint8) if numbers.dtype == np.bool_ else numbers
