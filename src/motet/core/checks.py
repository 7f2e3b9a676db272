"""Small checks and canonical forms used at the borders of several rooms."""

import difflib
import math
from collections.abc import Iterable


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name most like `name`, or None when nothing is near.

    >>> nearest("regresion", ["binary", "regression"])
    'regression'
    """
    matches = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """A closing clause for an error: "; did you mean 'x'?", or the allowed names, or nothing.

    >>> did_you_mean("colour", ["color", "size"])
    "; did you mean 'color'?"
    """
    allowed = list(allowed)
    match = nearest(name, allowed)
    if match is not None:
        return f"; did you mean {match!r}?"
    return f"; choose from {', '.join(allowed)}" if allowed else ""


def text_of(cell: object) -> str:
    """The text of a plain cell, one spelling per value: whole floats lose their point, truth is lower case.

    >>> text_of(5), text_of(5.0), text_of("5"), text_of(True)
    ('5', '5', '5', 'true')
    """
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and math.isfinite(cell) and cell == int(cell):
        return str(int(cell))
    return str(cell)
