"""Tables of a page: their first column names the row, the script of the frame sorts them."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from motet.evaluation.figure import figure, interval

Heading = tuple[str, str]
"""Its words, and the style of its column: "number", "mark", "heat", or "" for words."""


def table(headings: Sequence[Heading], rows: Sequence[Sequence[str]], *, label: str, styles: Sequence[str] = ()) -> str:
    """A card with a table; cells are HTML (`words`, `measured`, `shaded`), headings are plain words.

    >>> table([("name", ""), ("rows", "number")], [[words("a & b"), "3"]], label="Rows").count("a &amp; b")
    1
    """
    head = "".join(f"<th scope='col'{_style(style)}>{escape(name)}</th>" for name, style in headings)
    body = []
    for place, row in enumerate(rows):
        cells = "".join(_cell(cell, style) for cell, (_, style) in zip(row[1:], headings[1:], strict=True))
        style = styles[place] if styles else ""
        body.append(f"<tr{_style(style)}><th scope='row'>{row[0]}</th>{cells}</tr>")
    return (
        f"<div class='card scroll' role='region' aria-label='{escape(label)}'>"
        f"<table class='sortable' aria-label='{escape(label)}'>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def heat_table(
    values: Mapping[str, Mapping[str, Any]],
    *,
    columns: Sequence[str],
    label: str,
    corner: str,
    most: Mapping[str, float] | None = None,
    notes: Mapping[str, str] | None = None,
) -> str:
    """`values[row][column]`, a number or an interval each, shaded by its share of the column's largest, `most`.

    `notes` stand behind the headings.
    """
    columns = [name for name in columns if any(name in row for row in values.values())]
    sizes = {c: [abs(v) for row in values.values() if (v := value_of(row.get(c))) is not None] for c in columns}
    tops = most or {column: max(found, default=0.0) for column, found in sizes.items()}
    rows = [
        [words(name), *(shaded(row.get(column), tops[column]) for column in columns)] for name, row in values.items()
    ]
    headings = [(corner, ""), *((f"{c} {(notes or {}).get(c, '')}".strip(), "heat") for c in columns)]
    return table(headings, rows, label=label)


def words(text: object) -> str:
    """Plain words as HTML."""
    return escape(str(text))


def measured(one: Mapping[str, Any] | None) -> str:
    """A figure and its interval.

    >>> measured({"value": 0.5, "low": 0.25, "high": 0.75})
    "0.500 <span class='range'>[0.250, 0.750]</span>"
    """
    if not one or one.get("value") is None:
        return figure(None)
    found = interval(one.get("low"), one.get("high"))
    return f"{figure(one['value'])} <span class='range'>{found}</span>" if found else figure(one["value"])


def shaded(one: Any, most: float) -> str:
    """A figure on a shade that is the stronger the nearer to `most` its size is; below zero in the colour of harm."""
    value = value_of(one)
    if value is None:
        return f"<span class='heat' style='--share:0'>{figure(None)}</span>"
    shade = min(abs(value) / most, 1.0) if most else 0.0
    style = "heat harm" if value < 0 else "heat"
    shown = measured(one) if isinstance(one, Mapping) else figure(value)
    return f"<span class='{style}' style='--share:{shade:.2f}'>{shown}</span>"


def value_of(one: Any) -> float | None:
    """The figure of an interval, or the number itself."""
    return one.get("value") if isinstance(one, Mapping) else one


def _cell(cell: str, style: str) -> str:
    return f"<td{_style(style)}>{cell}</td>"


def _style(style: str) -> str:
    return f" class='{style}'" if style else ""
