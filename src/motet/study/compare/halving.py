"""Successive halving of a long list of variants: all are trained a little, the better half longer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motet.core.errors import BundleError, SpecError
from motet.run.report import Report
from motet.study.compare.grid import Variant
from motet.study.compare.running import FINISHED, Job, Runner
from motet.training import Progress

KEPT = 4
"""So many variants are left, which are trained in full with every seed."""
ROUNDS = "rounds"


@dataclass(frozen=True, slots=True)
class Halved:
    """The variants left, and of each round how long which was trained, and its gain; `whole` unless stopped."""

    left: tuple[Variant, ...]
    rounds: tuple[dict[str, Any], ...]
    whole: bool = True


def schedule(count: int, epochs: int, *, kept: int = KEPT) -> list[tuple[int, int]]:
    """For each round how many variants are trained for how many epochs: each round costs as much as `kept` whole ones.

    >>> schedule(16, 20), schedule(4, 20)
    ([(16, 5), (8, 10)], [])
    """
    rounds = []
    while count > kept:
        rounds.append((count, max(1, epochs * kept // count)))
        count = max(kept, math.ceil(count / 2))
    return rounds


def whole_epochs(variants: Sequence[Variant]) -> int:
    """How many epochs a whole training has; raises `SpecError` where that is not one number for all variants.

    A round trains all variants equally long, so how long is nothing that can be compared by it.
    """
    found = {one.experiment.training.epochs for one in variants}
    if len(found) > 1:
        raise SpecError(
            "--halving: its rounds set training.epochs, so that it can not vary; compare over other fields, or leave "
            "--halving out"
        )
    (epochs,) = found
    if epochs == "auto":
        raise SpecError("--halving: training.epochs is auto; set it to the number a whole training has")
    return int(epochs)


def halved(variants: Sequence[Variant], runner: Runner, *, out: Path, seed: int) -> Halved:
    """Jamieson & Talwalkar, AISTATS 2016, on the validation gain of one seed; stopped where time does not hold a round.

    The gain is the one that also chooses the best epoch, the mean relative gain on the validation rows. Deviation: a
    variant that goes on is trained again from the start, so that its schedule of the learning rate is whole.
    """
    epochs = whole_epochs(variants)
    left, rounds = list(variants), []
    for number, (_, few) in enumerate(schedule(len(variants), epochs), start=1):
        folder = out / ROUNDS / f"round-{number}"
        jobs = [_job(one, few, seed, folder) for one in left]
        runner.progress.say(f"round {number}: {len(left)} variants, {few} epoch{'s' * (few > 1)} each")
        endings = runner.run(jobs)
        gains = {job.variant: _gain(job, runner.progress) for job in jobs}
        rounds.append({"epochs": few, "gains": gains})
        if any(end.state not in (FINISHED, "failed") for end in endings.values()):
            return Halved(tuple(left), tuple(rounds), whole=False)
        kept = max(KEPT, math.ceil(len(left) / 2))
        order = sorted(left, key=lambda one: -_number(gains[one.name]))[:kept]
        left = [one for one in left if one in order]
    return Halved(tuple(left), tuple(rounds))


def chosen_by(chosen: Halved, rows_scored: str) -> list[str]:
    """What has to be known of scores on the very rows by which halving chose who is scored."""
    if not chosen.rounds or rows_scored == "test":
        return []
    return [
        "There are no test rows, so the variants that are left were chosen by the rows they are scored on: their "
        "scores are a little too good; set data.test to a fraction such as 0.2 for rows that chose nothing."
    ]


def _job(variant: Variant, epochs: int, seed: int, folder: Path) -> Job:
    training = variant.experiment.training.model_copy(update={"epochs": epochs, "seed": seed})
    return Job(
        variant.name, seed, variant.experiment.model_copy(update={"training": training}), folder / variant.folder
    )


def _gain(job: Job, progress: Progress) -> float | None:
    """The run's gain; None where it is not finished or, which is said, its report is damaged."""
    if not job.finished:
        return None
    try:
        gain = Report.of_run(job.folder).content.get("training", {}).get("gain")
    except BundleError as error:
        progress.say(f"{job.name}: {error}")
        return None
    if gain is None:
        raise SpecError("--halving: there are no validation rows to judge by; set data.valid to a fraction such as 0.1")
    return float(gain)


def _number(gain: float | None) -> float:
    return -math.inf if gain is None else gain
