"""A number or a category as people write it in a table, or the reason why a cell is none."""

import math
import re
from decimal import Decimal

import numpy as np

from motet.core.checks import text_of
from motet.core.errors import CellError

LARGEST = 1e150  # its square is still a float, so means and deviations can not overflow
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMA = re.compile(r"[+-]?\d[\d.\s]*,\d+", re.ASCII)
_ABSENT = {"na", "n/a", "n.a.", "#n/a", "nan", "null", "nil", "none", "missing", "unknown", "-", "--", "?", ".", ""}


def to_float(cell: object) -> float:
    """The value of an int, float, bool, Decimal, or text such as "-1.5e3".

    Raises `CellError` for text that is no such number, for NaN and infinities, and for what a float can not hold.

    >>> to_float(" 1.5e3 "), to_float(True)
    (1500.0, 1.0)
    """
    if isinstance(cell, str):
        return _from_text(cell.strip())
    if not isinstance(cell, bool | int | float | Decimal | np.bool_ | np.integer | np.floating):
        raise CellError(f"expected a number, found a value of type {type(cell).__name__}")
    try:
        number = float(cell)
    except (OverflowError, ValueError):  # an int or a Decimal beyond the floats, a signalling NaN
        number = math.inf
    return _within_range(number, is_zero=bool(number == 0 and cell == 0))


def category_of(cell: object) -> str:
    """The canonical text of a plain cell, without space around it; `CellError` for lists and the like.

    >>> category_of(5.0), category_of(" red ")
    ('5', 'red')
    """
    if isinstance(cell, list | tuple | dict | set | bytes | np.ndarray):
        raise CellError(f"expected one category, found a value of type {type(cell).__name__}")
    return text_of(cell.item() if isinstance(cell, np.generic) else cell).strip()


def _from_text(text: str) -> float:
    if _DECIMAL.fullmatch(text):
        return _within_range(float(text), is_zero=not re.search("[1-9]", re.split("[eE]", text)[0]))
    if _COMMA.fullmatch(text):
        raise CellError("not a number: it has a comma; write a decimal point, and no separator of thousands")
    if text.lower() in _ABSENT:
        raise CellError(f"not a number; if it stands for an absent value, say so: missing: [{text!r}]")
    if text.lower().lstrip("+-") in ("inf", "infinity"):
        raise CellError("not a finite number")
    raise CellError("not a number")


def _within_range(number: float, *, is_zero: bool) -> float:
    if math.isnan(number):
        raise CellError("not a number (NaN)")
    if abs(number) > LARGEST:
        raise CellError(f"too large: beyond {LARGEST:.0e}, or infinite")
    if number == 0 and not is_zero:
        raise CellError("too small: a float would make it 0")
    return number
