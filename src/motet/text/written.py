"""What a cell says as text, and which words it has."""

import numpy as np

from motet.core.checks import text_of
from motet.core.errors import CellError


def written(cell: object) -> str:
    """The text of a cell, that of a list its words with a space between; `CellError` for bytes and the like.

    >>> written(5.0), written("five"), written(["New", "York"])
    ('5', 'five', 'New York')
    """
    return " ".join(words_of(cell)) if isinstance(cell, list) else _plain(cell, "found a")


def words_of(cell: object) -> list[str]:
    """The words of a cell: the items of a list as they are written, or what white space divides in a text.

    >>> words_of(["New York", 5.0]), words_of("New  York 5")
    (['New York', '5'], ['New', 'York', '5'])
    """
    if isinstance(cell, list):
        return [_plain(word, "found a list with a") for word in cell]
    return _plain(cell, "found a").split()


def _plain(cell: object, found: str) -> str:
    if isinstance(cell, str | bool | int | float | np.generic):
        return text_of(cell.item() if isinstance(cell, np.generic) else cell)
    raise CellError(f"expected text, {found} value of type {type(cell).__name__}")
