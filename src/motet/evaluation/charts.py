"""The report's charts, one function each: values -> SVG."""

import math
from collections.abc import Mapping, Sequence

from motet.evaluation.details import Bin, Confusion, LabelScore, Scatter
from motet.evaluation.figure import figure, interval
from motet.evaluation.svg import WIDTH, Plot, box, clipped, label, padded, picture

MOST_POINTS = 240


def interval_mark(score: Mapping[str, float | None], baseline: float | None, *, title: str) -> str:
    """One score as a dot on its interval, the baseline as a tick, on a line of its own scale."""
    known = [value for value in (score["value"], score["low"], score["high"], baseline) if value is not None]
    if score["value"] is None:
        return ""
    inside = all(0 <= value <= 1 for value in known) and score["higher_is_better"]
    low, high = (0.0, 1.0) if inside else padded([0.0, *known], share=0.05)

    def at(value: float) -> float:
        return 6 + (value - low) / (high - low) * 168

    parts = [box(6, 10, 168, 4, style="rail", more='rx="2"')]
    if score["low"] is not None and score["high"] is not None:
        parts.append(
            box(at(score["low"]), 6, max(at(score["high"]) - at(score["low"]), 2), 12, style="band", more='rx="3"')
        )
    if baseline is not None:
        parts.append(box(at(baseline) - 1, 3, 2, 18, style="base", tip=f"baseline {figure(baseline)}"))
    parts.append(f'<circle class="point" cx="{at(score["value"]):.1f}" cy="12" r="3.5"/>')
    return picture("".join(parts), title=title, height=24, width=180)


def curve(
    points: Sequence[tuple[float, float]],
    *,
    title: str,
    means: Sequence[tuple[float, float]] = (),
    baseline: float | None = None,
    best: tuple[float, float] | None = None,
) -> str:
    """A value over the steps of training; `means` are drawn over it, `baseline` as a level, `best` as a dot."""
    points, means = _finite(points), _finite(means)
    if not points:
        return ""
    drawn = thinned(points)
    heights = [y for _, y in [*drawn, *means]] + ([] if baseline is None else [baseline])
    plot = Plot(title, x=(0.0, max(x for x, _ in [*points, *means])), y=padded(heights), x_label="step")
    if baseline is not None:
        plot.line([(plot.x[0], baseline), (plot.x[1], baseline)], style="level")
        plot.text(plot.x[1], baseline, "baseline")
    plot.line(drawn, style="faint" if means else "line")
    if means:
        plot.line(means, style="line")
    if best is not None:
        plot.dot(*best, style="point", radius=4.5, tip=f"kept: {figure(best[1])} at step {best[0]:.0f}")
    return plot.drawn()


def heat_map(confusion: Confusion, *, title: str) -> str:
    """Counts of truth (rows) by answer (columns), shaded by the share of the row."""
    num = len(confusion.labels)
    left, top = 22 + 7 * min(12, max(4, *(len(name) for name in confusion.labels))), 46
    side = (WIDTH - left - 8) / num
    tall = min(side, 44)
    parts = [
        label(left, 14, "answered", style="tick"),
        label(left - 8, top - 10, "true", style="tick", anchor="end"),
    ]
    for j, name in enumerate(confusion.labels):
        words = clipped(name, max(2, int(side / 7)))
        parts.append(label(left + (j + 0.5) * side, top - 10, words, style="name", anchor="middle"))
    for i, (name, row) in enumerate(zip(confusion.labels, confusion.counts, strict=True)):
        down = top + i * tall
        parts.append(label(left - 8, down + tall / 2 + 4, clipped(name, 12), style="name", anchor="end"))
        for j, count in enumerate(row):
            share = count / max(sum(row), 1)
            tip = f"{count} rows: {name} answered as {confusion.labels[j]} ({share:.0%})"
            style = "cell hit" if i == j else "cell miss"
            parts.append(
                box(
                    left + j * side + 1,
                    down + 1,
                    side - 2,
                    tall - 2,
                    style=style,
                    tip=tip,
                    more=f'rx="3" style="fill-opacity:{0.05 + 0.45 * share:.2f}"',
                )
            )
            if count:
                parts.append(
                    label(left + (j + 0.5) * side, down + tall / 2 + 4, str(count), style="count", anchor="middle")
                )
    return picture("".join(parts), title=title, height=top + num * tall + 8)


def reliability_chart(bins: Sequence[Bin], *, title: str) -> str:
    """How often answers were right against how sure they were; on the diagonal a model means what it says."""
    lowest = reliability_range([one.confidence for one in bins])
    plot = Plot(title, x=(lowest, 1.0), y=(0.0, 1.0), x_label="stated probability", y_label="share right")
    plot.line([(lowest, lowest), (1.0, 1.0)], style="level")
    plot.line([(one.confidence, one.accuracy) for one in bins], style="line")
    most = max(one.rows for one in bins)
    for one in bins:
        tip = f"{one.rows} answers at about {one.confidence:.2f}: {one.accuracy:.0%} right"
        plot.dot(one.confidence, one.accuracy, style="point", radius=3 + 5 * math.sqrt(one.rows / most), tip=tip)
    return plot.drawn()


def reliability_range(confidences: Sequence[float]) -> float:
    """Where the axis of stated probabilities starts: at a half where none is below."""
    return 0.0 if min(confidences) < 0.5 else 0.5


def scatter_chart(scatter: Scatter, *, title: str) -> str:
    """Answer against truth; dashed the diagonal, and around it the interval."""
    ends = padded([*scatter.truth, *scatter.answer])
    plot = Plot(title, x=ends, y=ends, height=300, x_label="truth", y_label="answer")
    if scatter.half_width is not None and scatter.half_width < ends[1] - ends[0]:
        width = scatter.half_width
        for low, high, shift in ((ends[0], ends[1] - width, width), (ends[0] + width, ends[1], -width)):
            plot.line([(low, low + shift), (high, high + shift)], style="edge")
    plot.line([(ends[0], ends[0]), (ends[1], ends[1])], style="level")
    for truth, answer in zip(scatter.truth, scatter.answer, strict=True):
        plot.dot(truth, answer, style="cloud", radius=3, tip=f"truth {figure(truth)}, answer {figure(answer)}")
    return plot.drawn()


def label_bars(labels: Sequence[LabelScore], *, title: str) -> str:
    """F1 of each label, the most frequent first."""
    parts = []
    for i, one in enumerate(labels):
        down = 6 + 26 * i
        value = 0.0 if math.isnan(one.f1) else one.f1
        parts.append(label(112, down + 13, clipped(one.label, 15), style="name", anchor="end"))
        parts.append(box(120, down, 220, 18, style="rail", more='rx="3"'))
        parts.append(box(120, down, 220 * value, 18, style="bar", tip=f"{one.label}: {one.rows} rows", more='rx="3"'))
        parts.append(label(348, down + 13, f"{figure(one.f1)}  ({one.rows})", style="tick"))
    return picture("".join(parts), title=title, height=12 + 26 * len(labels))


def contribution_bars(contributions: Mapping[str, Mapping[str, float | None]], *, title: str) -> str:
    """What each input brings, as bars from zero with their intervals, the largest first."""
    known = {name: one for name, one in contributions.items() if one["value"] is not None}
    if not known:
        return ""
    order = sorted(known, key=lambda name: -(known[name]["value"] or 0))
    low, high = padded([0.0, *(v for one in known.values() for v in one.values() if v is not None)], share=0.02)

    def at(value: float | None) -> float:
        return 120 + ((value or 0) - low) / (high - low) * 226

    parts = []
    for i, name in enumerate(order):
        one, down = known[name], 6 + 30 * i
        style = "bar" if (one["value"] or 0) >= 0 else "bar harm"
        tip = f"{name}: {figure(one['value'])} {interval(one['low'], one['high'])}"
        start, end = sorted((at(0), at(one["value"])))
        parts.append(label(112, down + 15, clipped(name, 15), style="name", anchor="end"))
        parts.append(box(start, down, end - start, 20, style=style, tip=tip, more='rx="3"'))
        if one["low"] is not None and one["high"] is not None:
            parts.append(box(at(one["low"]), down + 9, at(one["high"]) - at(one["low"]), 2, style="whisker", tip=tip))
        parts.append(label(356, down + 15, figure(one["value"]), style="tick"))
    zero = at(0)
    parts.append(f'<line class="axis" x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{8 + 30 * len(order)}"/>')
    return picture("".join(parts), title=title, height=10 + 30 * len(order))


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(y)]


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of neighbours, so that a long curve stays a small picture."""
    size = math.ceil(len(points) / MOST_POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]
