"""Cells as sets of labels: a list, text that a separator divides, or a column of yes and no for each label."""

from collections.abc import Iterable, Sequence

import numpy as np

from motet.core.checks import text_of
from motet.core.errors import CellError
from motet.core.labels import Label, set_of
from motet.tasks.labels import flag_of

__all__ = ["flags", "readable_sets", "set_of"]


def readable_sets(cells: Iterable[object], separator: str) -> Iterable[list[Label]]:
    """The sets of the cells that are sets."""
    for cell in cells:
        try:
            yield set_of(cell, separator)
        except CellError:
            continue


def flags(cell: object, labels: Sequence[Label]) -> np.ndarray:
    """Yes and no of each label's own column, float32 `[L]`; raises `CellError` with the column that says neither.

    >>> flags([1, "no"], ["red", "round"]).tolist()
    [1.0, 0.0]
    """
    if len(labels) == 1 and not isinstance(cell, list | tuple | np.ndarray):
        cell = [cell]
    if not isinstance(cell, list | tuple | np.ndarray) or len(cell) != len(labels):
        raise CellError(f"expected a list of {len(labels)} values, 0 or 1, one per column")
    return np.array([_flag(value, label) for value, label in zip(cell, labels, strict=True)], dtype=np.float32)


def _flag(value: object, label: Label) -> bool:
    try:
        return flag_of(value)
    except CellError as error:
        raise CellError(f"column {text_of(label)!r} {error}") from None
