"""Labels and lists of labels as the user wrote them: their own type is kept, and they are matched by their text."""

import json
import math
import re

import numpy as np

from motet.core.checks import text_of
from motet.core.errors import CellError

Label = bool | int | float | str


def label_of(cell: object) -> Label:
    """A cell as a label; raises `CellError` where it is not one plain finite value.

    >>> label_of("red"), label_of(3), label_of(np.int64(3))
    ('red', 3, 3)
    """
    value = cell.item() if isinstance(cell, np.generic) else cell
    if not isinstance(value, bool | int | float | str):
        raise CellError(f"a label is text, a number, or true or false, not {type(value).__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise CellError("not a finite number")
    return value


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


def list_in(text: str) -> list[object] | None:
    """The list that the text is in JSON, as predictions have it in CSV for the empty set, or for labels with a "|".

    None where it is none, or lists stand deeper in one another than can be read.

    >>> list_in("[1, 2]"), list_in("[1, 2"), list_in("[" * 100_000)
    ([1, 2], None, None)
    """
    try:
        found = json.loads(text) if text.startswith("[") else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def first_text(first: dict[str, Label], label: Label) -> str:
    """The text of a label, remembering the first label that has it."""
    text = text_of(label)
    first.setdefault(text, label)
    return text


def natural_order(text: str) -> tuple[object, ...]:
    """A sort key: numbers by value before words, and digits inside words by value.

    >>> sorted(["10", "9", "-1", "b10", "b9"], key=natural_order)
    ['-1', '9', '10', 'b9', 'b10']
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return (0, number, text)
    parts = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]
    return (1, tuple(parts), text)
