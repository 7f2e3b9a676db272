"""What each input of a run is worth: contributions, alone, exchanged between rows, combined, made worse.

How much is looked into is counted in rows, not in seconds, so that the same run gives the same report: within `SHARE`
of the work of training, where a row that is trained on counts three times one that is answered. One that is fused and
answered again, from tokens that are there, counts as one that is answered: at most it is that, and it is nearly that
where fusion looks at every token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from motet.evaluation import Contributions, Interval, TaskRows, contributions, difference, plan_of
from motet.evaluation.robustness import LEVELS, robustness_of
from motet.evaluation.shapley import Plan
from motet.evaluation.synergy import additive_projection, synergy_of
from motet.model import Collected, collect, exchanged, recombining
from motet.run.distort import distorting
from motet.run.judge import batches_of
from motet.run.sample import Sample, sample_of, units_of
from motet.run.scored import Scored

CONTRIBUTION_ROWS, LEAST_CONTRIBUTION_ROWS = 1000, 200
"""At most so many rows tell what each input contributes: intervals are narrow by then, and training stays the work. A
short training does not make it less than that many."""
ROBUSTNESS_ROWS, SYNERGY_ROWS, LEAST_ROWS = 500, 500, 50
DONORS = 64
SHARE = {"contribution": 0.05, "robustness": 0.03, "synergy": 0.02}
"""Of the training's work. Robustness and synergy are left out where it pays for fewer than `LEAST_ROWS` rows."""
ByTask = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Worth:
    """`contributions`, and what else is told of each input and of each task, by its name in the report."""

    contributions: Contributions | None
    of_inputs: Mapping[str, Mapping[str, Any]]
    of_tasks: Mapping[str, Mapping[str, Any]]


def contribute(scored: Scored) -> Worth:
    """All of it on a sample of the scored rows; nothing where the experiment wants nothing."""
    names = sorted(scored.fitted.inputs)
    plan = plan_of(names, seed=scored.seed)
    sample = _sample(scored, len(plan.subsets) + len(names))
    if not len(sample.places):
        return Worth(None, {}, {})
    rows = scored.rows[sample.places]
    absent = [[name for name in names if name not in subset] for subset in plan.subsets]
    network, batches = scored.network, batches_of(scored.prepared.dataset, rows)
    found = collect(network, batches, absent=absent, variants=[exchanged(name) for name in names])
    tasks = {task: _task_rows(scored, found[0], task, sample.places) for task in scored.fitted.tasks}
    by_subset = dict(zip(plan.subsets, found, strict=False))
    settings: dict[str, Any] = {"seed": scored.seed, "resamples": scored.spec.resamples, "level": scored.spec.level}
    shared = contributions(lambda one: by_subset[one].outputs, inputs=names, tasks=tasks, **settings)
    whole = by_subset[tuple(names)]
    of_inputs: dict[str, dict[str, Any]] = {name: {"alone": shared.alone[name]} for name in names}
    for name, one in zip(names, found[len(plan.subsets) :], strict=True):
        of_inputs[name]["permuted"] = {
            task: _lost(held, whole.outputs[task], one.outputs[task], settings) for task, held in tasks.items()
        }
    for name, curves in _robustness(scored, plan, by_subset, tasks, sample, settings).items():
        of_inputs[name]["robustness"] = curves
    return Worth(shared, of_inputs, _synergies(scored, tasks, sample, settings))


def _sample(scored: Scored, num_variants: int) -> Sample:
    """Evenly spread over the scored rows, in an order of chance."""
    affordable = int(_budget(scored, "contribution") / (1 + num_variants))
    paid = max(LEAST_CONTRIBUTION_ROWS, min(CONTRIBUTION_ROWS, affordable))
    return sample_of(units_of(scored), _asked(scored.spec.contribution_rows, paid), seed=scored.seed)


def _budget(scored: Scored, what: str) -> float:
    """In rows that are answered."""
    return SHARE[what] * 3 * scored.position.rows_seen


def _asked(rows: int | None, affordable: int) -> int:
    return affordable if rows is None else rows


def _task_rows(scored: Scored, found: Collected, task: str, places: np.ndarray) -> TaskRows:
    spec, codec = scored.fitted.tasks[task]
    groups = None if scored.groups is None else scored.groups[places]
    return TaskRows(codec, spec.primary, found.targets[task], found.labelled[task], groups)


def _lost(rows: TaskRows, whole: Tensor, changed: Tensor, settings: Mapping[str, Any]) -> Interval:
    better, worse = (whole, changed) if rows.sign > 0 else (changed, whole)
    num_rows = int(rows.labelled.sum())
    return difference(rows.judge(better), rows.judge(worse), num_rows, groups=rows.labelled_groups, **settings)


def _robustness(
    scored: Scored,
    plan: Plan,
    by_subset: Mapping[tuple[str, ...], Collected],
    tasks: Mapping[str, TaskRows],
    sample: Sample,
    settings: Mapping[str, Any],
) -> dict[str, ByTask]:
    """Noise is encoded anew; what is said without an input is known by now, or asked for where it is not."""
    affordable = int(_budget(scored, "robustness") / (len(LEVELS) * len(plan.inputs)))
    paid = min(ROBUSTNESS_ROWS, affordable) if affordable >= LEAST_ROWS else 0
    chosen = sample.first(_asked(scored.spec.robustness_rows, paid))
    rows = scored.rows[sample.places[chosen]]
    curves: dict[str, ByTask] = {}
    clean = by_subset[plan.inputs]
    for name in plan.inputs if len(rows) else ():
        variants = [distorting(scored.prepared, scored.network, name, level, rows) for level in LEVELS]
        batches = batches_of(scored.prepared.dataset, rows)
        without, *noisy = collect(scored.network, batches, absent=[[name]], variants=variants)
        curves[name] = {
            task: robustness_of(
                held.some(chosen),
                clean=clean.outputs[task][chosen],
                absent=without.outputs[task],
                noisy={level: one.outputs[task] for level, one in zip(LEVELS, noisy, strict=True)},
                name=name,
                **settings,
            )
            for task, held in tasks.items()
            if task in scored.network.heads
        }
    return curves


def _synergies(scored: Scored, tasks: Mapping[str, TaskRows], sample: Sample, settings: Mapping[str, Any]) -> ByTask:
    names = sorted(scored.fitted.inputs)
    affordable = int(_budget(scored, "synergy") / (DONORS * len(names)))
    paid = min(SYNERGY_ROWS, affordable) if affordable >= LEAST_ROWS else 0
    chosen = sample.first(_asked(scored.spec.synergy_rows, paid))
    held = {task: tasks[task].some(chosen) for task in sorted(tasks) if task in scored.network.heads}
    if len(chosen) < 2 or len(names) < 2 or not held:
        return {}
    batches = batches_of(scored.prepared.dataset, scored.rows[sample.places[chosen]])
    with recombining(scored.network, batches, sorted(held)) as answer:
        full = answer(dict.fromkeys(names, torch.arange(len(chosen))))
        additive = additive_projection(
            answer, names, num_rows=len(chosen), num_donors=min(DONORS, len(chosen)), seed=scored.seed
        )
    return {task: {"synergy": synergy_of(one, full[task], additive[task], **settings)} for task, one in held.items()}
