"""Cells as sets of labels: a list, text that a separator divides, or a column of yes and no for each label."""

from collections.abc import Iterable, Sequence

import numpy as np

from motet.core.checks import text_of
from motet.core.errors import CellError
from motet.tasks.labels import Label, flag_of, label_of, list_in


def set_of(cell: object, separator: str) -> list[Label]:
    """The labels of a cell; raises `CellError` where one is none.

    >>> set_of("red | round", "|"), set_of('["red"]', "|"), set_of([], "|")
    (['red', 'round'], ['red'], [])
    """
    if isinstance(cell, str):
        written = list_in(cell)
        cell = [part for part in map(str.strip, cell.split(separator)) if part] if written is None else written
    if isinstance(cell, list | tuple | set | frozenset | np.ndarray):
        return [label_of(part) for part in cell]
    return [label_of(cell)]


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
