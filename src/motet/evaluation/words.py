"""The report in plain sentences; nothing is claimed of a difference whose interval holds zero."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from motet.evaluation.figure import figure, interval, metric_name, percent, percents
from motet.evaluation.table import value_of

Tone = Literal["good", "even", "bad", ""]
Sentence = tuple[Tone, str]
VERDICTS: dict[str, Sentence] = {
    "good": ("good", "beats a constant answer"),
    "even": ("even", "no clear gain"),
    "bad": ("bad", "below a constant answer"),
    "none": ("", ""),
}
RIVALS = {"linear": "a linear model", "trees": "boosted trees"}
BASELINES = {"linear": "the linear baseline", "trees": "the baseline of boosted trees"}


def verdict(task: Mapping[str, Any]) -> str:
    """good, even or bad: the primary metric's interval beside the baseline; none where one of them does not exist."""
    score, base = task["metrics"][task["primary"]], task["baseline"][task["primary"]]
    if base is None or score["value"] is None or score["low"] is None or score["high"] is None:
        return "none"
    sign = 1 if score["higher_is_better"] else -1
    worst, best = sorted((sign * score["low"], sign * score["high"]))
    return "good" if worst > sign * base else "bad" if best < sign * base else "even"


def badge(task: Mapping[str, Any]) -> Sentence:
    """The verdict on the task in a few words: beside the strongest of its baselines that it has to fear."""
    found = verdict(task)
    signs = {name: sign_of(one.get("difference")) for name, one in (task.get("baselines") or {}).items() if one}
    if found != "good" or not signs:
        return VERDICTS[found]
    tones: dict[int, Sentence] = {-1: ("bad", "below"), 0: ("even", "not clearly above"), 1: ("good", "beats")}
    least = min(signs.values())
    tone, words = tones[least]
    names = [BASELINES.get(name, f"the baseline {name}") for name, sign in signs.items() if sign == least]
    return tone, f"{words} {_listed(names)}"


def sentence(name: str, task: Mapping[str, Any]) -> str:
    """The task in one line of plain text."""
    score, base = task["metrics"][task["primary"]], task["baseline"][task["primary"]]
    words = f"{name}: {metric_name(task['primary'])} {figure(score['value'])} {interval(score['low'], score['high'])}"
    others = [
        f"{RIVALS.get(other, other)} {figure(one['metrics'][task['primary']]['value'])}"
        for other, one in (task.get("baselines") or {}).items()
        if one
    ]
    return ", ".join([words.strip(), f"a constant answer {figure(base)}", *others])


def sign_of(one: Mapping[str, Any] | None) -> int:
    """1 or -1 where the whole interval lies above or below zero; 0 where it holds zero or does not exist.

    >>> sign_of({"value": 0.05, "low": 0.02, "high": 0.08}), sign_of({"value": 0.05, "low": -0.1, "high": 0.2})
    (1, 0)
    """
    if not one or one.get("low") is None or one.get("high") is None:
        return 0
    return int(one["low"] > 0) - int(one["high"] < 0)


def summary(report: Mapping[str, Any]) -> list[Sentence]:
    """What a reader in a hurry has to know, one sentence each."""
    said = [of_task(name, task, report["inputs"]) for name, task in report["tasks"].items()]
    tasks = report["tasks"]
    others = (_sharing(tasks), _without_effect(report), _slices(tasks), *_coverage(tasks), _suspects(tasks))
    return [*said, *(found for found in others if found)]


def of_task(name: str, task: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> Sentence:
    """How well the task is done, beside what is simpler, and what it would lose without its best input."""
    score = task["metrics"][task["primary"]]
    if score["value"] is None:
        return "", f"{name}: {metric_name(task['primary'])} does not exist on these rows."
    start = f"{name}: {figure(score['value'])} {metric_name(task['primary'])}"
    compared = list(_compared(task))
    lost = _lost(name, inputs)
    tone: Tone = _worst([tone for tone, _ in compared])
    return tone, f"{', '.join([start, *(words for _, words in compared)])}{f'; {lost}' if lost else ''}."


def _compared(task: Mapping[str, Any]) -> Iterator[Sentence]:
    baselines = task.get("baselines") or {}
    for name, one in baselines.items():
        words, difference = BASELINES.get(name, f"the baseline {name}"), (one or {}).get("difference")
        sign = sign_of(difference)
        if difference and sign:
            yield (
                "good" if sign > 0 else "bad",
                f"{'better' if sign > 0 else 'worse'} than {words} by {_size(difference)}",
            )
        elif difference and difference.get("value") is not None:
            yield "even", f"not clearly better than {words}"
    if not baselines:
        found = {"good": "better", "bad": "worse", "even": "not clearly better", "none": ""}[verdict(task)]
        tone: Tone = {"better": "good", "worse": "bad", "not clearly better": "even"}.get(found, "")  # type: ignore[assignment]
        if found:
            yield tone, f"{found} than one answer for all rows ({figure(task['baseline'][task['primary']])})"


def _lost(task: str, inputs: Mapping[str, Mapping[str, Any]]) -> str:
    """What is lost without the input that matters most: shuffled where that was tried, else its contribution."""
    for found, verb in (("permuted", "with {} shuffled between rows it would lose"), ("contribution", "{} brings")):
        parts = {name: (one.get(found) or {}).get(task) for name, one in inputs.items()}
        claimed = {name: part for name, part in parts.items() if part and sign_of(part) > 0}
        if claimed and len(inputs) > 1:
            name = max(claimed, key=lambda name: claimed[name]["value"])
            return f"{verb.format(name)} {_size(claimed[name])}"
    return ""


def _sharing(tasks: Mapping[str, Mapping[str, Any]]) -> Sentence | None:
    """Training together against training alone, where each task was trained alone as well."""
    gains = {name: gain_of(task) for name, task in tasks.items()}
    known = {name: gain for name, gain in gains.items() if gain}
    if not known:
        return None
    helped = [f"{name} by {_size(gain)}" for name, gain in known.items() if sign_of(gain) > 0]
    hurt = [f"{name} by {_size(gain)}" for name, gain in known.items() if sign_of(gain) < 0]
    if not helped and not hurt:
        return "even", "Sharing neither helped nor hurt any task that it shows."
    parts = [f"helped {_listed(helped)}" if helped else "", f"hurt {_listed(hurt)}" if hurt else ""]
    end = "" if hurt else ", hurt nothing that it shows"
    return "bad" if hurt else "good", f"Sharing {' and '.join(part for part in parts if part)}{end}."


def gain_of(task: Mapping[str, Any]) -> dict[str, Any] | None:
    """Joint minus single: `relative` to the score of the task alone where that is known, else in the metric."""
    single = task.get("single_task")
    if not isinstance(single, Mapping):
        return None
    if isinstance(single.get("relative"), Mapping):
        return {**single["relative"], "relative": True}
    return dict(single["difference"]) if isinstance(single.get("difference"), Mapping) else None


def _without_effect(report: Mapping[str, Any]) -> Sentence | None:
    """Inputs of which no task gains anything that shows, and which rows can exchange at no loss that shows."""
    measures = ("contribution", "permuted")
    found = {
        name: [part for measure in measures for part in (one.get(measure) or {}).values()]
        for name, one in report["inputs"].items()
    }
    idle = [name for name, parts in found.items() if parts and all(sign_of(part) <= 0 for part in parts)]
    return ("even", f"No task gains anything that shows from {_listed(idle)}.") if idle else None


def _slices(tasks: Mapping[str, Mapping[str, Any]]) -> Sentence | None:
    found = []
    for name, task in tasks.items():
        worst = next((one for one in task.get("slices") or () if sign_of(one.get("difference"))), None)
        if worst:
            score = f"{figure(value_of(worst['metric']))} {metric_name(worst.get('by') or task['primary'])}"
            found.append(f"{name} where {where(worst)} ({score} on {worst['rows']:,} rows)")
    return ("bad", f"Worst: {'; '.join(found)}.") if found else None


def _coverage(tasks: Mapping[str, Mapping[str, Any]]) -> Iterator[Sentence]:
    for name, task in tasks.items():
        coverage = task.get("coverage") or {}
        found = coverage.get("found") or {}
        if found.get("high") is not None and found["high"] < coverage["stated"]:
            kind = "sets" if coverage.get("kind") == "set" else "intervals"
            stated, held = percent(coverage["stated"]), percent(found["value"])
            yield "bad", f"{name}: {kind} stated to hold the truth in {stated} of rows do in {held} {percents(found)}."


def _suspects(tasks: Mapping[str, Mapping[str, Any]]) -> Sentence | None:
    found = [f"{len(task['suspects'])} in {name}" for name, task in tasks.items() if task.get("suspects")]
    return ("even", f"Labels suspected to be wrong, worth a look: {_listed(found)}.") if found else None


def where(one: Mapping[str, Any]) -> str:
    """The rows of a slice in words.

    >>> where({"where": [["city", "Rome"], ["price", "above 3"]]})
    'city is Rome and price is above 3'
    """
    return " and ".join(f"{column} is {value}" for column, value in one["where"])


def _size(one: Mapping[str, Any]) -> str:
    """How large a difference is, whatever its sign; a relative one in percent."""
    low, high = sorted((abs(one["low"]), abs(one["high"])))
    if one.get("relative"):
        return f"{abs(100 * one['value']):.1f}% \N{PLUS-MINUS SIGN} {50 * (high - low):.1f}"
    return f"{figure(abs(one['value']))} {interval(low, high)}"


def _worst(tones: list[Tone]) -> Tone:
    return next((tone for tone in ("bad", "even", "good") if tone in tones), "")


def _listed(names: list[str]) -> str:
    """As in: a, b and c."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
