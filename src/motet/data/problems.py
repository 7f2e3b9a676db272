"""A cell that can not be read, and the error that lists many of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from motet.core.errors import DataError

_LISTED = 20
_LONGEST_VALUE = 80
_ADVICE = "correct them, declare them `missing`, or set data.on_bad_cell: skip to treat them as absent"


@dataclass(frozen=True, slots=True)
class Problem:
    """One bad cell: the file and row as a person counts them, the column, the cell shortened, and the reason.

    >>> print(Problem("a.csv", 2, "age", "'old'", "expected a number"))
    a.csv:2:age: expected a number: 'old'
    """

    file: str
    row: int
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.row}:{self.column}: {self.reason}: {self.value}"


class BadCells(DataError):
    """Cells that can not be read; `problems` holds them all, the message the first 20 and what to try."""

    def __init__(self, problems: Sequence[Problem], summary: str = "", *, advice: str = _ADVICE) -> None:
        self.problems = tuple(problems)
        self.summary = summary or f"{len(problems)} cell{'s' if len(problems) > 1 else ''} can not be read:"
        lines = [self.summary]
        lines += [str(problem) for problem in problems[:_LISTED]]
        if len(problems) > _LISTED:
            lines.append(f"... and {len(problems) - _LISTED} more")
        lines.append(advice)
        super().__init__("\n".join(lines))


def shown(cell: object) -> str:
    """A cell on one line, shortened.

    >>> shown("two\\nlines"), shown(b"abc")
    ("'two\\\\nlines'", '<3 bytes>')
    """
    if isinstance(cell, (bytes, bytearray)):
        return f"<{len(cell)} bytes>"
    if isinstance(cell, dict):
        return "{" + ", ".join(f"{key}: {shown(value)}" for key, value in cell.items()) + "}"
    if isinstance(cell, list) and len(cell) > _LONGEST_VALUE:
        return f"<list of {len(cell)}>"
    text = repr(cell)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."
