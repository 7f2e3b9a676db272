"""Finished runs -> everything a comparison says, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from motet.core.errors import SpecError
from motet.evaluation import plain
from motet.evaluation.spec import EvaluationSpec
from motet.study.compare.candidate import Candidate, Read, read_candidates
from motet.study.compare.costs import candidate_costs
from motet.study.compare.rank import Ranked, recommendation
from motet.study.compare.scores import drawn_rows, mean_gains, task_scores
from motet.study.compare.seeds import with_seeds
from motet.study.compare.transfer import single_of, transfer
from motet.study.compare.words import summary


@dataclass(frozen=True, slots=True)
class Judged:
    """What was read of the runs and how it ranks; `content` are the paragraphs of compare.json about it."""

    read: Read
    ranked: Ranked
    seeds: tuple[int, ...]
    content: dict[str, Any]


def judged(candidates: Sequence[Candidate], *, seed: int, evaluation: EvaluationSpec, reference: str = "") -> Judged:
    """Rank candidates by their finished runs, the first before all; `reference`: whose single models there are.

    Nothing is written anywhere.

    Raises `SpecError`, with every reason, where there are not two runs that can be compared.
    """
    read = read_candidates(candidates)
    names = [one.name for one in candidates if one.name in read.runs]
    seeds = sorted({seed for runs in read.runs.values() for seed in runs})
    ranked = _ranked(read, names, seeds, seed=seed, evaluation=evaluation)
    if not ranked.tasks:
        reasons = "".join(f"\n{line}" for line in read.declined)
        raise SpecError(f"nothing to compare: no task is answered by two of the runs on the same rows{reasons}")
    costs = {one.name: candidate_costs(one) for one in candidates if one.name in names}
    overall = ranked.overall()
    overall["ranking"] = with_seeds(overall["ranking"], ranked.candidates, mean_gains(ranked.tasks)[1])
    content: dict[str, Any] = {
        "level": evaluation.level,
        "resamples": evaluation.resamples,
        "rows_scored": read.first.outputs.part if read.first else None,
        "reference": names[0],
        "tasks": {task: _task(ranked, task) for task in ranked.tasks},
        "overall": overall,
        "costs": costs,
        "recommendation": recommendation(ranked, overall["ranking"], costs),
        "transfer": transfer(ranked, costs, single=single_of(candidates), reference=reference),
        "declined": list(dict.fromkeys(read.declined)),
    }
    content = plain(content)
    return Judged(read, ranked, tuple(seeds), {"summary": summary(content)} | content)


def _task(ranked: Ranked, task: str) -> dict[str, Any]:
    entry = ranked.task(task)
    return entry | {"ranking": with_seeds(entry["ranking"], ranked.candidates, ranked.tasks[task].values)}


def _ranked(read: Read, names: Sequence[str], seeds: Sequence[int], *, seed: int, evaluation: EvaluationSpec) -> Ranked:
    if read.first is None:
        return Ranked(tuple(names), {}, seed, evaluation.level)
    outputs = read.first.outputs
    drawn = drawn_rows(len(outputs.rows), outputs.groups, seed=seed, resamples=evaluation.resamples)
    found = {}
    for task in sorted(
        {task for runs in read.runs.values() for each in runs.values() for r in each for task in _all(r)}
    ):
        large = [
            n for n, runs in read.runs.items() if any(task in r.outputs.too_large for e in runs.values() for r in e)
        ]
        read.declined += [
            f"{name}: the outputs of {task} are too large to be kept, so it is not compared" for name in large
        ]
        scores = task_scores(read, task, candidates=list(names), seeds=list(seeds), drawn=drawn)
        if scores is not None:
            found[task] = scores
    return Ranked(tuple(names), found, seed, evaluation.level)


def _all(run: Any) -> Mapping[str, Any]:
    tasks: Mapping[str, Any] = run.report["tasks"]
    return tasks
