"""Charts of several lines with a legend below, and of one line within the area of its intervals."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from motet.evaluation.charts import reliability_range
from motet.evaluation.figure import figure, interval, percent
from motet.evaluation.svg import Plot, padded

COLOURS = 6
Points = Sequence[tuple[float, float]]


def series_chart(
    series: Mapping[str, Points],
    *,
    title: str,
    x_label: str,
    level: float | None = None,
    dots: bool = False,
    share_of_x: bool = False,
) -> str:
    """Lines in one plot, each in its colour; `level` is a dashed line across, `dots` marks the points themselves."""
    series = {name: points for name, points in series.items() if points}
    if not series:
        return ""
    x = [x for points in series.values() for x, _ in points]
    y = [y for points in series.values() for _, y in points] + ([] if level is None else [level])
    plot = Plot(title, x=(min(x), max(x)), y=padded(y), x_label=x_label)
    if level is not None:
        plot.line([(plot.x[0], level), (plot.x[1], level)], style="level")
    for place, (name, points) in enumerate(series.items()):
        plot.line(points, style=f"series {colour(place)}")
        for at, value in points if dots else ():
            where = percent(at) if share_of_x else figure(at)
            plot.dot(at, value, style=colour(place), radius=3.5, tip=f"{name}: {figure(value)} at {where}")
    return plot.drawn() + legend(list(series))


def area_chart(points: Sequence[Mapping[str, Any]], *, x: str, title: str, x_label: str) -> str:
    """A line of intervals by their `x`, with the area between their bounds."""
    known = sorted((one for one in points if one.get("value") is not None), key=lambda one: one[x])
    if len(known) < 2:
        return ""
    bounded = [one for one in known if one.get("low") is not None and one.get("high") is not None]
    heights = [one["value"] for one in known] + [one[end] for one in bounded for end in ("low", "high")]
    plot = Plot(title, x=(known[0][x], known[-1][x]), y=padded(heights), x_label=x_label)
    if bounded:
        plot.area([(one[x], one["low"]) for one in bounded], [(one[x], one["high"]) for one in bounded], style="area")
    plot.line([(one[x], one["value"]) for one in known], style="line")
    for one in known:
        bounds = interval(one.get("low"), one.get("high"))
        tip = f"{figure(one['value'])} {bounds} at {percent(one[x])}".replace("  ", " ")
        plot.dot(one[x], one["value"], style="point", radius=4, tip=tip)
    return plot.drawn()


def reliability_pair(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], *, title: str) -> str:
    """How often answers were right against how sure they were, before and after calibration; large dots: many rows."""
    known = {"before": before, "after": after}
    series = {name: [(b["confidence"], b["accuracy"]) for b in bins] for name, bins in known.items() if bins}
    if not series:
        return ""
    lowest = reliability_range([x for points in series.values() for x, _ in points])
    plot = Plot(title, x=(lowest, 1.0), y=(0.0, 1.0), x_label="stated probability", y_label="share right")
    plot.line([(lowest, lowest), (1.0, 1.0)], style="level")
    most = max(max(one["rows"] for one in known[name]) for name in series) or 1
    for name, points in series.items():
        style = "s1" if name == "before" else "s0"
        plot.line(points, style=f"series {style}{' dashed' * (name == 'before')}")
        for one in known[name]:
            tip = f"{name}: {one['rows']:,} answers at about {one['confidence']:.2f}: {one['accuracy']:.0%} right"
            size = 2.5 + 5 * math.sqrt(one["rows"] / most)
            plot.dot(one["confidence"], one["accuracy"], style=style, radius=size, tip=tip)
    styles = ["s1 dashed" if name == "before" else "s0" for name in series]
    return plot.drawn() + legend([f"{name} calibration" for name in series], styles=styles)


def legend(names: Sequence[str], *, styles: Sequence[str] = ()) -> str:
    """Names beside the colours of their lines; nothing for a line alone."""
    if len(names) < 2 and not styles:
        return ""
    styles = styles or [colour(place) for place in range(len(names))]
    items = (f"<li><i class='{s}'></i>{escape(name)}</li>" for name, s in zip(names, styles, strict=True))
    return f"<ul class='legend'>{''.join(items)}</ul>"


def colour(place: int) -> str:
    """The style of the line at this place; the second round of colours is dashed."""
    return f"s{place % COLOURS}{' dashed' * (place // COLOURS % 2)}"
