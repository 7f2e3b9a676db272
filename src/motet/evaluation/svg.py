"""Inline SVG: a plot with axes, and the marks that go into it. Colours come from the page's style sheet by class.

Coordinates of a plot are those of the data; a `Plot` turns them into pixels of a view box that scales with the page.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from motet.evaluation.figure import MINUS

WIDTH = 420


@dataclass(slots=True)
class Plot:
    """A view box with axes from `x` to `y` ranges; marks are added in the order in which they are drawn."""

    title: str
    x: tuple[float, float]
    y: tuple[float, float]
    height: int = 230
    left: int = 48
    x_label: str = ""
    y_label: str = ""
    marks: list[str] = field(default_factory=list)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Data -> pixels."""
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1)
        up = (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        right, bottom = WIDTH - 14, self.height - 36
        return round(self.left + across * (right - self.left), 2), round(bottom - up * (bottom - 12), 2)

    def line(self, points: Sequence[tuple[float, float]], *, style: str) -> None:
        """A broken line."""
        path = " ".join(f"{x},{y}" for x, y in (self.at(*point) for point in points))
        self.marks.append(f'<polyline class="{style}" points="{path}"/>')

    def area(self, lower: Sequence[tuple[float, float]], upper: Sequence[tuple[float, float]], *, style: str) -> None:
        """What lies between two lines."""
        path = " ".join(f"{x},{y}" for x, y in (self.at(*point) for point in [*lower, *reversed(upper)]))
        self.marks.append(f'<polygon class="{style}" points="{path}"/>')

    def dot(self, x: float, y: float, *, style: str, radius: float = 3, tip: str = "") -> None:
        """A dot that says `tip` when pointed at."""
        across, down = self.at(x, y)
        title = f"<title>{escape(tip)}</title>" if tip else ""
        self.marks.append(f'<circle class="{style}" cx="{across}" cy="{down}" r="{radius:.1f}">{title}</circle>')

    def text(self, x: float, y: float, words: str, *, style: str = "note", anchor: str = "end", up: float = 6) -> None:
        """Words above a point."""
        across, down = self.at(x, y)
        self.marks.append(label(across, down - up, words, style=style, anchor=anchor))

    def drawn(self) -> str:
        """The picture."""
        return picture("".join([*self._axes(), *self.marks]), title=self.title, height=self.height)

    def _axes(self) -> list[str]:
        parts = []
        for value in ticks(*self.y):
            (left, down), (right, _) = self.at(self.x[0], value), self.at(self.x[1], value)
            parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{down}" y2="{down}"/>')
            parts.append(label(left - 7, down + 4, short(value), style="tick", anchor="end"))
        for value in ticks(*self.x):
            across, down = self.at(value, self.y[0])
            parts.append(label(across, down + 16, short(value), style="tick", anchor="middle"))
        (left, bottom), (right, top) = self.at(self.x[0], self.y[0]), self.at(self.x[1], self.y[1])
        parts.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
        if self.x_label:
            parts.append(label((left + right) / 2, bottom + 31, self.x_label, style="tick", anchor="middle"))
        if self.y_label:
            turned = f'transform="rotate(-90 11 {(top + bottom) / 2})"'
            parts.append(label(11, (top + bottom) / 2, self.y_label, style="tick", anchor="middle", more=turned))
        return parts


def picture(body: str, *, title: str, height: float, width: float = WIDTH) -> str:
    """An SVG element that reads `title` to those who can not see it."""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
        f"{body}</svg>"
    )


def label(x: float, y: float, words: str, *, style: str, anchor: str = "start", more: str = "") -> str:
    """Words at a pixel."""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, *, style: str, tip: str = "", more: str = "") -> str:
    """A rectangle that says `tip` when pointed at."""
    title = f"<title>{escape(tip)}</title>" if tip else ""
    return (
        f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" {more}>'
        f"{title}</rect>"
    )


def ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Round values from `low` to `high`, about so many.

    >>> ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / about
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def padded(values: Sequence[float], *, share: float = 0.06) -> tuple[float, float]:
    """A range that holds the values with a little room on both sides.

    >>> padded([0.0, 100.0])
    (-6.0, 106.0)
    """
    low, high = min(values), max(values)
    room = (high - low) * share or abs(high) * share or 1.0
    return low - room, high + room


def short(value: float) -> str:
    """A tick's number in few characters.

    >>> short(0.25), short(15000.0), short(-2.0)
    ('0.25', '15k', '−2')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            scaled = value / (1e3 if letter == "k" else size)
            return f"{scaled:.4g}{letter}".replace("-", MINUS)
    return f"{value:.4g}".replace("-", MINUS)


def clipped(words: str, most: int) -> str:
    """Words cut to `most` characters.

    >>> clipped("handwriting", 6)
    'handw…'
    """
    return words if len(words) <= most else words[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"
