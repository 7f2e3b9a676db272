"""A row of numbers, however a cell holds it. W numbers."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from motet.core.errors import CellError
from motet.core.numerals import to_float
from motet.media.npy import array

FARTHEST = 1e4
"""So many deviations from its mean a number counts at most: one in a nearly constant place would drown all others."""


def vector_of(cell: object, *, separator: str) -> Float32[np.ndarray, "W"]:
    """The numbers of a list, an array, a text, or the `Path` of a `.npy` file, each finite in float32; `CellError` with
    the reason otherwise.

    >>> vector_of("1|2.5", separator="|")
    array([1. , 2.5], dtype=float32)
    """
    if isinstance(cell, str):
        cell = cell.split(separator)
    if isinstance(cell, Path):
        cell = array(cell)
    if isinstance(cell, list | tuple):
        cell = np.array([_place(place, value) for place, value in enumerate(cell, start=1)])
    if not isinstance(cell, np.ndarray) or cell.dtype.kind not in "fiub":
        raise CellError(f"expected numbers, found a value of type {type(cell).__name__}")
    if cell.ndim != 1 or not cell.size:
        raise CellError(f"expected one row of numbers, found the shape {list(cell.shape)}")
    with np.errstate(over="ignore"):
        vector = cell.astype(np.float32)
    if not np.isfinite(vector).all():
        raise CellError(f"number {int(np.argmin(np.isfinite(vector))) + 1} is not finite, or too large for float32")
    return vector


def _place(place: int, value: object) -> float:
    if value is None:
        raise CellError(f"number {place} is absent; a vector is whole or absent")
    try:
        return to_float(value)
    except CellError as error:
        raise CellError(f"number {place}: {error}") from None
