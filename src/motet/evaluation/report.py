"""`report.json`: what was scored and how it came out, as plain values; a number that does not exist is null."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, Literal

from motet.evaluation.contribution import Contributions
from motet.evaluation.score import Score


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One task on the scored rows; `rows` is how many of them have its label, `tables` its metrics on those of each of
    several tables, `more` what else was found out, by its name in the report.
    """

    kind: str
    primary: str
    scores: Mapping[str, Score]
    baseline: Mapping[str, float]
    rows: int
    tables: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


def build_report(
    *,
    rows_scored: Literal["test", "valid"],
    tasks: Mapping[str, TaskResult],
    present_fraction: Mapping[str, float],
    contributions: Contributions | None,
    training: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
    of_inputs: Mapping[str, Mapping[str, Any]] | None = None,
    intervals: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The report as plain JSON values; `present_fraction` names every input, `training` is taken over as it is.

    `of_inputs` is what else was found out about each input, `more` what is about neither inputs nor tasks.
    `intervals` is how all bounds were found: their `level` and the number of `resamples`.
    """
    report: dict[str, Any] = plain(
        {
            "rows_scored": rows_scored,
            **({"intervals": dict(intervals)} if intervals else {}),
            "tasks": {name: _task(result) for name, result in tasks.items()},
            "inputs": {
                name: {"present_fraction": fraction}
                | _contribution(name, contributions)
                | dict((of_inputs or {}).get(name, {}))
                for name, fraction in present_fraction.items()
            },
            "subsets": [
                {"inputs": list(inputs), "metrics": dict(metrics)}
                for inputs, metrics in (contributions.subsets if contributions else ())
            ],
            "subset_rows": contributions.rows if contributions else 0,
            "training": dict(training),
            **(more or {}),
        }
    )
    return report


def plain(value: Any) -> Any:
    """The same with mappings and dataclasses as dicts, sequences as lists, and numbers that are not finite as None.

    >>> plain({"a": (1.0, float("nan"))})
    {'a': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _task(result: TaskResult) -> dict[str, Any]:
    names = sorted(result.scores, key=lambda name: name != result.primary)  # the primary first, then as they are
    by_table = {table: {name: scores[name] for name in names} for table, scores in result.tables.items()}
    entry = {
        "kind": result.kind,
        "primary": result.primary,
        "metrics": {name: asdict(result.scores[name]) for name in names},
        "baseline": {name: result.baseline[name] for name in names},
        "single_task": None,
        "rows": result.rows,
    }
    return entry | ({"tables": by_table} if by_table else {}) | dict(result.more)


def _contribution(name: str, contributions: Contributions | None) -> dict[str, Any]:
    if contributions is None:
        return {"contribution": {}}
    by_task = contributions.by_input.get(name, {})
    return {"contribution": {task: asdict(one) for task, one in by_task.items()}, "method": contributions.method}
