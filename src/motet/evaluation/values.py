"""The cells of a column as a few values, so that the rows of each can be looked at by themselves."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from motet.core.checks import text_of
from motet.core.errors import CellError
from motet.evaluation.interval import Floats
from motet.tasks.numbers import number_of

MOST_VALUES = 20
MOST_NUMBERS = 8
"""Numbers with more different values than that are put in bins."""
BINS = 4
ABSENT, OTHERS = "absent", "all others"


@dataclass(frozen=True, slots=True)
class Values:
    """`number` says which of `names` each of N rows has; -1 for none."""

    names: tuple[str, ...]
    number: Int64[np.ndarray, "N"]


def values_of(cells: Sequence[object], *, least: int) -> Values:
    """Values of at least `least` rows each, in the order of numbers or of how frequent they are.

    Numbers are put in quarters of as many rows as ties allow, named by the least and the greatest in them. Of other
    cells the 20 most frequent values stay. What is rarer is one value, "all others", and so are cells without any,
    "absent"; where these have fewer rows too, the rows belong to none.

    >>> values_of(["a", "b", "a", None, "a", "c", "a", "c"], least=2).names
    ('a', 'c', 'all others')
    """
    numbers = _numbers(cells)
    present = np.array([cell is not None for cell in cells], dtype=bool)
    if numbers is not None and len(np.unique(numbers[present])) > MOST_NUMBERS:
        texts = _binned(numbers, present)
        order = list(dict.fromkeys(texts[i] for i in np.argsort(np.where(present, numbers, np.inf), kind="stable")))
    else:
        texts = [ABSENT if cell is None else _text(cell) for cell in cells]
        order = [text for text, _ in sorted(Counter(texts).items(), key=lambda one: (-one[1], one[0]))][:MOST_VALUES]
    counts = Counter(texts)
    kept = [text for text in order if counts[text] >= least]
    place = {text: number for number, text in enumerate(kept)}
    number = np.array([place.get(text, -1) for text in texts], dtype=np.int64)
    if (number < 0).sum() >= least:
        number[number < 0] = len(kept)
        kept = [*kept, OTHERS]
    return Values(tuple(kept), number)


def _text(cell: object) -> str:
    return ", ".join(map(_text, cell)) if isinstance(cell, list | tuple | np.ndarray) else text_of(cell)


def _numbers(cells: Sequence[object]) -> Floats | None:
    """The cells as numbers, 0 where absent; None where one is no number."""
    try:
        return np.array([0.0 if cell is None else number_of(cell) for cell in cells], dtype=np.float64)
    except CellError:
        return None


def _binned(numbers: Floats, present: np.ndarray) -> list[str]:
    edges = np.unique(np.quantile(numbers[present], np.arange(1, BINS) / BINS))
    place = np.searchsorted(edges, numbers, side="left")
    names = {}
    for bin in np.unique(place[present]).tolist():
        inside = numbers[present & (place == bin)]
        ends = [f"{end:.6g}" for end in (inside.min(), inside.max())]
        names[bin] = " to ".join(dict.fromkeys(ends))
    return [names[bin] if there else ABSENT for bin, there in zip(place.tolist(), present.tolist(), strict=True)]
