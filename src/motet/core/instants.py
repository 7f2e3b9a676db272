"""A moment in time as people write it in a table, or the reason why a cell is none."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np

from motet.core.errors import CellError

_ISO = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)? ?(Z|[+-]\d{2}(?::?\d{2})?)?)?",
    re.ASCII | re.IGNORECASE,
)
_OTHER = re.compile(r"(\d{1,2})([./-])(\d{1,2})[./-](\d{2}|\d{4})\b.*", re.ASCII | re.DOTALL)
_DAYS = {".": ("%d.%m.%Y",), "/": ("%d/%m/%Y", "%m/%d/%Y"), "-": ("%d-%m-%Y", "%m-%d-%Y")}
_TIMES = ("", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S")


def moment_of(cell: object, *, spelling: str | None = None) -> datetime:
    """The date and time of a cell: a Python, NumPy, pandas or Arrow one, or text; with a zone where the cell has one.

    Text is ISO 8601, or written by `spelling`, in the words of Python's `strptime`. A date is its midnight. Raises
    `CellError` for anything else, and for a date such as 03/04/2024, whose month nobody can tell.

    >>> moment_of("2024-03-01 12:30"), moment_of("1.3.2024", spelling="%d.%m.%Y").isoformat()
    (datetime.datetime(2024, 3, 1, 12, 30), '2024-03-01T00:00:00')
    """
    if isinstance(cell, np.datetime64):
        cell = None if np.isnat(cell) else cell.astype("datetime64[us]").item()
    if isinstance(cell, datetime) and cell == cell:  # NaT of pandas is one, and not itself
        return cell
    if isinstance(cell, date) and not isinstance(cell, datetime):
        return datetime(cell.year, cell.month, cell.day)
    if isinstance(cell, str):
        return _from_iso(cell.strip()) if spelling is None else _spelt(cell.strip(), spelling)
    what = "a number" if isinstance(cell, int | float | np.number) else f"a value of type {type(cell).__name__}"
    raise CellError(f"expected a date, or a date and a time, found {what}")


def seconds_of(moment: datetime) -> float:
    """Seconds since the start of 1970, in UTC where the moment has a zone, else on the clock it was read from.

    >>> seconds_of(moment_of("1970-01-01T01:00+01:00")), seconds_of(moment_of("1970-01-01T01:00"))
    (0.0, 3600.0)
    """
    start = datetime(1970, 1, 1, tzinfo=None if moment.tzinfo is None else UTC)
    return (moment - start).total_seconds()


def spellings_of(cells: Iterable[str]) -> tuple[str | None, ...]:
    """Every usual spelling that reads all of the cells: `(None,)` for ISO 8601; two where the month can not be told.

    >>> spellings_of(["3/4/2024", "28/4/2024"]), spellings_of(["3/4/2024"])
    (('%d/%m/%Y',), ('%d/%m/%Y', '%m/%d/%Y'))
    """
    found: list[str | None] = [None, *(day + time for days in _DAYS.values() for day in days for time in _TIMES)]
    for cell in cells:
        found = [spelling for spelling in found if _reads(cell, spelling)]
    return tuple(found)


def _reads(cell: str, spelling: str | None) -> bool:
    try:
        moment_of(cell, spelling=spelling)
    except CellError:
        return False
    return True


def _spelt(text: str, spelling: str) -> datetime:
    try:
        return datetime.strptime(text, spelling)
    except ValueError:
        raise CellError(f"not a date as `format` {spelling!r} has it") from None


def _from_iso(text: str) -> datetime:
    matched = _ISO.fullmatch(text)
    try:
        if matched is None:
            return datetime.fromisoformat(text)  # such as 20240301T1230, or 2024-W09-5
        *numbers, fraction, zone = matched.groups(default="")
        micro = int((fraction + "000000")[:6])
        year, month, day, hour, minute, second = (int(number or 0) for number in numbers)
        return datetime(year, month, day, hour, minute, second, micro, tzinfo=_zone(zone))
    except ValueError as error:
        raise CellError(_why_not(text) if matched is None else f"no such date or time: {error}") from None


def _zone(text: str) -> timezone | None:
    if not text:
        return None
    if text in "Zz":
        return UTC
    minutes = 60 * int(text[1:3]) + int(text[-2:] if len(text) > 3 else 0)
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _why_not(text: str) -> str:
    matched = _OTHER.fullmatch(text)
    if matched is None:
        return "not a date of ISO 8601 such as 2024-03-01 or 2024-03-01 12:30; say by `format` how it is written"
    first, sign, second, year = matched.groups()
    day_first, month_first = (f"%{a}{sign}%{b}{sign}%{'Y' if len(year) == 4 else 'y'}" for a, b in ("dm", "md"))
    if int(first) <= 12 and int(second) <= 12:
        return f"the day or the month may come first; say which: format: {day_first!r} or format: {month_first!r}"
    return f"not a date of ISO 8601; say how it is written: format: {day_first if int(first) > 12 else month_first!r}"
