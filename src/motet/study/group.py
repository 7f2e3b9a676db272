"""Which tasks to train together, from how their gradients related while one model was trained on all of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motet.core.errors import BundleError, SpecError
from motet.run.experiment import RELATIONS
from motet.run.report import Report
from motet.run.resolved import EXPERIMENT
from motet.study.partition import MOST_EXHAUSTIVE, partition, worth

FEW_STEPS = 10
"""Fewer compared steps than these say little."""
MOST_CONFLICTS = 3
"""Of so many pairs the text tells how they conflict."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two tasks, in which fraction of the compared steps their gradients' cosine was below 0, and its mean."""

    tasks: tuple[str, str]
    fraction: float
    cosine: float
    steps: int


@dataclass(frozen=True, slots=True)
class Grouping:
    """A proposal. `affinity` of a task: the mean share of its loss that a step for another task of its group takes off.

    It is 0 for a task alone. `total` adds up all tasks, `total_together` is the same with all tasks in one group.
    `exact` says whether every partition was tried. `conflicts` are all pairs, the worst first; a pair in
    `not_compared` never had two gradients in one compared step, and counts as 0.
    """

    models: int
    groups: tuple[tuple[str, ...], ...]
    affinity: Mapping[str, float]
    total: float
    total_together: float
    exact: bool
    conflicts: tuple[Conflict, ...]
    not_compared: tuple[tuple[str, str], ...]

    def to_json(self) -> str:
        """Everything as JSON text."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    def to_text(self) -> str:
        """In plain words."""
        how = "the best of all partitions" if self.exact else "found by merging and moving, perhaps not the best"
        lines = [f"{_count(self.groups, 'group')} of {_count(self.affinity, 'task')}, {how} into at most {self.models}"]
        for number, group in enumerate(self.groups, start=1):
            lines.append(f"group {number}: {', '.join(group)}")
            lines += [f"  {task}: {self._gain(task)}" for task in group if len(group) > 1]
        total, together = (f"{100 * one:+.3g} %" for one in (self.total, self.total_together))
        lines.append(f"added over the tasks: {total}; with all in one model: {together}")
        worst = [one for one in self.conflicts if one.fraction > 0][:MOST_CONFLICTS]
        lines += [_words(one) for one in worst] or ["no two tasks conflicted in any compared step"]
        fewest = min((one.steps for one in self.conflicts), default=FEW_STEPS)
        if fewest < FEW_STEPS:
            lines.append(f"compared in as few as {fewest} steps: train longer, or with a smaller balance.watch")
        lines += [f"never compared, counted as 0: {a} and {b}" for a, b in self.not_compared]
        return "\n".join([*lines, "To first order; train the groups and compare before you rely on it."])

    def _gain(self, task: str) -> str:
        share = 100 * self.affinity[task]
        does = f"takes {share:.3g} % off" if share >= 0 else f"adds {-share:.3g} % to"
        return f"a step for another task of the group {does} its loss"


def group(run: Path, *, models: int) -> Grouping:
    """The partition of a run's tasks into at most `models` groups with the largest sum of affinities.

    Maximised is `sum_j mean_{i in group of j, i != j} Z_{i->j}`, 0 for a task alone, Z the means of `Relations`: the
    mean of the pairs stands for the affinity of the whole group, as in Fifty et al., NeurIPS 2021 (TAG). There groups
    may overlap, and a task is served by the one that is best for it; here each task is in one group, so that the groups
    are models to train. Their code forbids a task alone (-1e6); here it is neither good nor bad for itself.

    Raises `BundleError` where the run has no relations, `SpecError` for fewer groups than 1 or more than tasks.
    """
    found = _relations(run)
    tasks = list(found["tasks"])
    if not 1 <= models <= len(tasks):
        raise SpecError(f"--models: {models} given; expected 1 to {len(tasks)}, the number of tasks of {run}")
    affinity = np.array([[_mean(found["affinity"], i, j) for j in tasks] for i in tasks])
    groups = partition(affinity, most=models)
    return Grouping(
        models=models,
        groups=tuple(tuple(tasks[index] for index in one) for one in groups),
        affinity={tasks[index]: _onto(affinity, index, one) for one in groups for index in one},
        total=worth(affinity, groups),
        total_together=worth(affinity, [range(len(tasks))]),
        exact=len(tasks) <= MOST_EXHAUSTIVE,
        conflicts=_conflicts(found["pairs"]),
        not_compared=tuple((a, b) for a in tasks for b in tasks if a < b and b not in found["pairs"].get(a, {})),
    )


def _relations(run: Path) -> dict[str, Any]:
    path = run / RELATIONS
    try:
        found = json.loads(path.read_bytes())
    except OSError:
        Report.of_run(run)  # says so where there is no finished run
        raise BundleError(
            f"{path}: not there; the run in {run} has one task, or was trained without comparing gradients: with "
            f"balance.watch: 0 (see its {EXPERIMENT}), in fewer steps than that, or with training.shard and a way of "
            "sharing in which tasks meet in several places; change that and train again with balance.watch: auto"
        ) from None
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {"tasks", "pairs", "affinity"} <= set(found):
        raise BundleError(f"{path}: damaged; restore it from a copy")
    return found


def _mean(affinity: Mapping[str, Mapping[str, Mapping[str, float]]], task: str, other: str) -> float:
    return affinity.get(task, {}).get(other, {}).get("mean", 0.0)


def _onto(affinity: np.ndarray, task: int, group: Sequence[int]) -> float:
    others = [one for one in group if one != task]
    return float(affinity[others, task].mean()) if others else 0.0


def _conflicts(pairs: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> tuple[Conflict, ...]:
    found = [
        Conflict((a, b), one["conflicts"], one["cosine"], one["steps"])
        for a, row in pairs.items()
        for b, one in row.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.fraction, one.cosine, one.tasks)))


def _words(one: Conflict) -> str:
    a, b = one.tasks
    steps = f"{100 * one.fraction:.0f} % of {one.steps:,} compared steps"
    return f"{a} and {b} conflict in {steps} (mean cosine {one.cosine:+.3f})"


def _count(things: Any, word: str) -> str:
    return f"{len(things)} {word}{'s' * (len(things) != 1)}"
