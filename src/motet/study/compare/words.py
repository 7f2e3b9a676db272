"""What a comparison found, in plain sentences."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from motet.evaluation.figure import MINUS, figure, interval, metric_name

FEWEST_DIGITS, MOST_DIGITS = 3, 7


def summary(content: Mapping[str, Any]) -> list[str]:
    """The recommendation or why there is none, then each task, then what learning together did."""
    sentences = [_advice(content["recommendation"])]
    for task, entry in content["tasks"].items():
        sentences.append(_of_task(task, entry, content["reference"]))
    if content["transfer"] is not None:
        sentences += _of_transfer(content["transfer"], content["tasks"])
    return [f"{sentence}." for sentence in sentences if sentence]


def said(one: Mapping[str, float | None]) -> str:
    """A figure with its interval, in as many decimals as the interval's width asks for; what does not exist is a dash.

    >>> said({"value": 0.5, "low": 0.25, "high": 0.75}), said({"value": 0.00012, "low": 0.00007, "high": 0.00017})
    ('0.500 [0.250, 0.750]', '0.00012 [0.00007, 0.00017]')
    """
    value, low, high = one["value"], one["low"], one["high"]
    if value is None or low is None or high is None:
        return figure(value)
    digits = 1 - math.floor(math.log10(high - low)) if high > low else 0
    if digits <= FEWEST_DIGITS:
        return f"{figure(value)} {interval(low, high)}"
    words = [_decimals(number, min(digits, MOST_DIGITS)) for number in (value, low, high)]
    return f"{words[0]} [{words[1]}, {words[2]}]"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def better(one: Mapping[str, float | None]) -> int:
    """1 where the whole interval of a difference is above 0, -1 where below, else 0."""
    low, high = one["low"], one["high"]
    return 0 if low is None or high is None else int(low > 0) - int(high < 0)


def _decimals(value: float, digits: int) -> str:
    words = f"{value:.{digits}f}"
    return (words if words.strip("-0.") else words.lstrip("-")).replace("-", MINUS)


def _advice(found: Mapping[str, Any]) -> str:
    if found["candidate"] is not None:
        return f"{found['candidate']} is recommended: {found['reason']}"
    if found.get("model") is not None:
        return f"{found['model']} is the best of these models, which recommends no variant yet: {found['reason']}"
    return f"No recommendation: {found['reason']}"


def _of_task(task: str, entry: Mapping[str, Any], reference: str) -> str:
    """How the others stand to the reference."""
    others = [(one["candidate"], one["to_reference"]) for one in entry["ranking"] if one["to_reference"] is not None]
    groups: dict[int, list[str]] = {1: [], 0: [], -1: []}
    for name, to in others:
        sign = better(to)
        than = f" is {'better' if sign > 0 else 'worse'} than {reference}" if not groups[sign] else ""
        groups[sign].append(f"{name}{than} by {said(_size(to))}" if sign else name)
    parts = [", ".join(groups[sign]) for sign in (1, -1) if groups[sign]]
    if groups[0]:
        parts.append(f"the data does not tell {listed([reference, *groups[0]])} apart")
    return f"{task} ({metric_name(entry['metric'])}): {'; '.join(parts)}" if parts else ""


def _size(to: Mapping[str, float | None]) -> Mapping[str, float | None]:
    """How much it is, without its sign."""
    if to["value"] is None or to["low"] is None or to["high"] is None or to["value"] >= 0:
        return to
    return {"value": -to["value"], "low": -to["high"], "high": -to["low"]}


def _of_transfer(found: Mapping[str, Any], tasks: Mapping[str, Any]) -> list[str]:
    """What learning together did in the variant that has all else in common with the single models."""
    name = found["single_of"]
    to = {task: found["tasks"][task].get(name) for task in tasks}
    known = {task: one for task, one in to.items() if one is not None and one["value"] is not None}
    verdicts: dict[int, list[str]] = {1: [], 0: [], -1: []}
    for task, one in known.items():
        verdicts[better(one)].append(f"{task} by {said(_size(one))}" if better(one) else task)
    parts = [
        f"{word} {listed(verdicts[sign])}"
        for sign, word in ((1, "helped"), (-1, "hurt"), (0, "shows no effect on"))
        if verdicts[sign]
    ]
    return [f"Learning the tasks together in {name} {'; it '.join(parts)}, beside one model per task"] if parts else []
