"""Candidates ranked per task and overall, with paired differences, and what may be recommended on these grounds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from motet.evaluation.interval import Interval, Resampling
from motet.study.compare.chance import Floats, mean_rank, over_seeds, ranks
from motet.study.compare.scores import TaskScores, fewest_units, mean_gains
from motet.study.compare.words import listed, said

CLEARLY = 0.75
"""Times of runs side by side are not exact: less of a difference than a quarter says nothing."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Scores turned into rankings. `scores` of a task or of the whole are `[C, S]` and `[C, S, B]`, more is better."""

    candidates: tuple[str, ...]
    tasks: Mapping[str, TaskScores]
    seed: int
    level: float

    def task(self, name: str) -> dict[str, Any]:
        """One task: the candidates, best first, with differences to the best and to the first candidate."""
        scores = self.tasks[name]
        values, draws = scores.signed
        own = {
            c: _possible(
                self._interval(scores.values[at], scores.draws[at], scores.resampling),
                scores.best,
                scores.higher_is_better,
            )
            for at, c in enumerate(self.candidates)
            if np.isfinite(values[at]).any()
        }
        return {
            "kind": scores.kind,
            "metric": scores.metric,
            "higher_is_better": scores.higher_is_better,
            "rows": scores.rows,
            "baseline": scores.trivial,
            "ranking": self._ranking(values, draws, own, "score", scores.resampling),
        }

    def overall(self) -> dict[str, Any]:
        """All tasks: by the mean relative gain, beside it the mean rank."""
        counting, values, draws = mean_gains(self.tasks)
        resampling = fewest_units(self.tasks, counting)
        own = {
            c: _possible(self._interval(values[at], draws[at], resampling, paired=True), 1.0, True)
            for at, c in enumerate(self.candidates)
            if np.isfinite(values[at]).any()
        }
        ranking = self._ranking(values, draws, own, "gain", resampling)
        places = self._mean_ranks()
        return {
            "measure": "mean relative gain",
            "tasks": counting,
            "ranking": [entry | {"rank": places[entry["candidate"]]} for entry in ranking],
        }

    def overall_difference(self, first: str, second: str) -> Interval:
        """How much more the mean relative gain of the first is."""
        counting, values, draws = mean_gains(self.tasks)
        return self._difference(values, draws, first, second, fewest_units(self.tasks, counting))

    def common_seeds(self, first: str, second: str) -> int:
        """How many seeds tell the two apart."""
        _, values, _ = mean_gains(self.tasks)
        a, b = self.candidates.index(first), self.candidates.index(second)
        return int(np.isfinite(values[a] - values[b]).sum())

    def difference(self, task: str, first: str, second: str) -> Interval:
        """How much better the first scores in a task: positive is better, whatever the metric."""
        values, draws = self.tasks[task].signed
        return self._difference(values, draws, first, second, self.tasks[task].resampling)

    def difference_of_seed(self, task: str, seed: int, first: str, second: str) -> Interval:
        """The same of the runs of one seed alone (its place among the seeds): the rows' chance and no other."""
        values, draws = self.tasks[task].signed
        return self._difference(values[:, [seed]], draws[:, [seed]], first, second, self.tasks[task].resampling)

    def _ranking(
        self, values: Floats, draws: Floats, own: Mapping[str, Interval], name: str, resampling: Resampling
    ) -> list[dict[str, Any]]:
        means = {c: float(np.nanmean(values[self.candidates.index(c)])) for c in own}
        order = sorted(own, key=lambda c: -means[c])
        return [
            {
                "candidate": c,
                name: asdict(own[c]),
                "seeds": int(np.isfinite(values[self.candidates.index(c)]).sum()),
                "to_best": self._to(values, draws, c, order[0], resampling),
                "to_reference": self._to(values, draws, c, self.candidates[0], resampling),
            }
            for c in order
        ]

    def _to(
        self, values: Floats, draws: Floats, first: str, second: str, resampling: Resampling
    ) -> dict[str, float] | None:
        return None if first == second else asdict(self._difference(values, draws, first, second, resampling))

    def _difference(self, values: Floats, draws: Floats, first: str, second: str, resampling: Resampling) -> Interval:
        """Paired: the same seeds and the same draws of rows."""
        a, b = self.candidates.index(first), self.candidates.index(second)
        return self._interval(values[a] - values[b], draws[a] - draws[b], resampling, paired=True)

    def _interval(self, values: Floats, draws: Floats, resampling: Resampling, *, paired: bool = False) -> Interval:
        return over_seeds(values, draws, resampling=resampling, level=self.level, paired=paired)

    def _mean_ranks(self) -> dict[str, dict[str, float | None]]:
        """Among the candidates that have all tasks, as Friedman's test ranks: 1 is best."""
        scores = np.array([one.signed[0] for one in self.tasks.values()])
        has_all = np.isfinite(scores).any(axis=2).all(axis=0)
        whole = np.isfinite(scores[:, has_all]).all(axis=(0, 1))  # a place among fewer would be another place
        left_out = ~(has_all[:, None] & whole[None, :])
        places = np.array([ranks(np.where(left_out, np.nan, one)) for one in scores])
        return {
            c: {"value": mean_rank(places[:, at]), "low": None, "high": None} for at, c in enumerate(self.candidates)
        }


def recommendation(
    ranked: Ranked, overall: Sequence[Mapping[str, Any]], costs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The candidate whose mean relative gain is above every other's, interval and all; else who is not told apart.

    Of one seed that says which `model` is best and no more: `candidate`, a way to make models, is None then, as it is
    where candidates are not told apart. Of these the cheapest is named: the one with the fewest parameters; of equally
    many the one with the fastest step, where the first in order counts as fast unless another takes less than `CLEARLY`
    of its time.
    """
    order = [entry["candidate"] for entry in overall]
    if not order:
        return {"candidate": None, "contenders": [], "cheapest": None, "reason": "nothing was scored for all tasks"}
    best, rest = order[0], order[1:]
    to_best = {c: ranked.overall_difference(best, c) for c in rest}
    contenders = [best, *(c for c in rest if not to_best[c].low > 0)]
    few = min((ranked.common_seeds(best, c) for c in rest), default=0)
    if not rest:
        return {"candidate": None, "contenders": [best], "cheapest": best, "reason": f"only {best} was scored"}
    if len(contenders) == 1:
        nearest = rest[0]
        by = said(asdict(to_best[nearest]))
        reason = f"the mean relative gain of {best} is above every other's, that of {nearest} by {by}"
        found = {"candidate": best, "contenders": contenders, "cheapest": best, "reason": reason}
        if few > 1:
            return found
        reason += "; of one seed this is about these models, and other seeds may say otherwise"
        return found | {"candidate": None, "model": best, "reason": reason}
    cheapest = _cheapest([c for c in ranked.candidates if c in contenders], costs)
    reason = f"the data does not tell {listed(contenders)} apart; the cheapest of them is {cheapest}" + (
        ""
        if few > 2
        else f" (with {few} seed{'s' * (few != 1)} in common the chance of the seeds is little known: train more)"
    )
    return {"candidate": None, "contenders": contenders, "cheapest": cheapest, "reason": reason}


def _cheapest(candidates: Sequence[str], costs: Mapping[str, Mapping[str, Any]]) -> str:
    fewest = min(_cost(costs[c], "parameters") for c in candidates)
    small = [c for c in candidates if _cost(costs[c], "parameters") == fewest]
    fastest = min(small, key=lambda c: _cost(costs[c], "ms_per_step"))
    clearly = _cost(costs[fastest], "ms_per_step") < CLEARLY * _cost(costs[small[0]], "ms_per_step")
    return fastest if clearly else small[0]


def _possible(one: Interval, best: float, higher_is_better: bool) -> Interval:
    """No score is better than perfect."""
    if higher_is_better:
        return Interval(one.value, one.low, min(one.high, best))
    return Interval(one.value, max(one.low, best), one.high)


def _cost(costs: Mapping[str, Any], name: str) -> float:
    value = costs.get(name)
    return float("inf") if value is None else float(value)
