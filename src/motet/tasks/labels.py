"""Class labels as the user wrote them: their own type is kept, and they are matched by their text."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from motet.core.checks import text_of
from motet.core.errors import CellError

Label = bool | int | float | str
YES = frozenset({"1", "true", "t", "yes", "y"})
NO = frozenset({"0", "false", "f", "no", "n"})


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


def flag_of(cell: object) -> bool:
    """Whether a cell says yes; raises `CellError` where it says neither yes nor no.

    >>> flag_of("yes"), flag_of(0.0)
    (True, False)
    """
    text = "" if cell is None else text_of(label_of(cell)).strip().lower()
    if text not in YES | NO:
        raise CellError(f"holds {text!r}, expected 0 or 1")
    return text in YES


def list_in(text: str) -> list[object] | None:
    """The list that the text is in JSON, as predictions have it in CSV for the empty set, or for labels with a "|"."""
    try:
        found = json.loads(text) if text.startswith("[") else None
    except ValueError:
        return None
    return found if isinstance(found, list) else None


def count_labels(cells: Iterable[object]) -> dict[Label, int]:
    """How often each label occurs, in natural order; labels of one text count as the first that was met.

    Cells that are no labels are passed over: who reads the rows reports them, with their place.

    >>> count_labels(["b10", "b9", "b10"])
    {'b9': 1, 'b10': 2}
    """
    first: dict[str, Label] = {}
    counts: Counter[str] = Counter()
    for cell in cells:
        try:
            label = label_of(cell)
        except CellError:
            continue
        counts[first_text(first, label)] += 1
    return {first[text]: counts[text] for text in sorted(counts, key=natural_order)}


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
