"""Class labels as the user wrote them: their own type is kept, and they are matched by their text."""

from collections import Counter
from collections.abc import Iterable

from motet.core.checks import text_of
from motet.core.errors import CellError
from motet.core.labels import Label, first_text, label_of, list_in, natural_order

__all__ = ["NO", "YES", "Label", "count_labels", "first_text", "flag_of", "label_of", "list_in", "natural_order"]

YES = frozenset({"1", "true", "t", "yes", "y"})
NO = frozenset({"0", "false", "f", "no", "n"})


def flag_of(cell: object) -> bool:
    """Whether a cell says yes; raises `CellError` where it says neither yes nor no.

    >>> flag_of("yes"), flag_of(0.0)
    (True, False)
    """
    text = "" if cell is None else text_of(label_of(cell)).strip().lower()
    if text not in YES | NO:
        raise CellError(f"holds {text!r}, expected 0 or 1")
    return text in YES


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
