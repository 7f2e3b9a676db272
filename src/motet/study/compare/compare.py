"""Variants of an experiment trained side by side with several seeds, scored on the same rows, ranked with intervals."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from motet.core.errors import BundleError, RunError, SpecError
from motet.run.report import Report
from motet.spec import Experiment, changed, load
from motet.study.compare.candidate import Candidate
from motet.study.compare.child import FAILED
from motet.study.compare.claim import claim
from motet.study.compare.comparison import Comparison
from motet.study.compare.costs import run_costs
from motet.study.compare.grid import SINGLE, Variant, axes_of, singles_of, variants_of
from motet.study.compare.halving import Halved, chosen_by, halved, whole_epochs
from motet.study.compare.result import judged
from motet.study.compare.running import FINISHED, WAITING, Ending, Job, Runner, refuse_children
from motet.study.compare.transfer import write_single_task
from motet.training import Progress, Quiet, num_cores, pick_device

RUNS = "runs"


def compare(
    experiment: "Experiment | Mapping[str, Any] | str | Path",
    over: "Mapping[str, Any] | Sequence[str]",
    *,
    seeds: int = 3,
    minutes: float | None = None,
    out: str | Path,
    resume: bool = False,
    changes: Sequence[str] = (),
    jobs: int | None = None,
    halving: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Train every combination of the values `over` names, `seeds` times each, and rank them.

    `over` is a mapping {"fusion": ["concat", "gated"], "single": True}, or strings as on the command line. "single"
    adds one model per task, all else as in the first variant. Each run is an ordinary run folder under `out`/runs, in a
    process of its own; `jobs` of them side by side, if left out as many as there are cores, and fewer where memory is
    short. All are scored on the same rows: the split stays that of the experiment (`data.split_seed`, else its
    `training.seed`), the seeds are `training.seed` and those after it. `minutes` is the time of this call: no run is
    started that would not end in it, and those that run when it is over stop with a checkpoint. `resume` goes on with
    what is in `out`. `halving` first trains more than four variants a little and goes on with the better half.

    Writes compare.json and compare.html. A run that fails is reported and the others go on; raises `SpecError` before
    anything is trained, `RunError` where no two runs came to an end.
    """
    begun, progress = time.monotonic(), progress or Quiet()
    deadline = None if minutes is None else begun + 60 * minutes
    refuse_children()
    try:
        found = _compare(
            experiment,
            over,
            out=Path(out),
            resume=resume,
            changes=changes,
            limits=_Limits(seeds, minutes, jobs, deadline),
            halving=halving,
            progress=progress,
        )
    finally:
        progress.close()
    found.content["seconds"] = round(time.monotonic() - begun, 1)
    found.write(Path(out), title=Path(out).resolve().name)
    return found


@dataclass(frozen=True, slots=True)
class _Limits:
    seeds: int
    minutes: float | None
    jobs: int | None
    deadline: float | None

    def check(self) -> None:
        for name in ("seeds", "minutes", "jobs"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SpecError(f"--{name}: expected more than 0, found {value}")


def _compare(
    experiment: "Experiment | Mapping[str, Any] | str | Path",
    over: "Mapping[str, Any] | Sequence[str]",
    *,
    out: Path,
    resume: bool,
    changes: Sequence[str],
    limits: _Limits,
    halving: bool,
    progress: Progress,
) -> Comparison:
    limits.check()
    base = Path(experiment).resolve().parent if isinstance(experiment, str | Path) else Path.cwd()
    axes, single = axes_of(over)
    document = _document(experiment, changes)
    whole = load(document)
    side = limits.jobs or _side(whole)
    variants = [beside(one, whole, side=side) for one in variants_of(document, axes)]
    singles = singles_of(variants[0], beside=variants) if single else []
    _check(variants, singles)
    if halving:
        whole_epochs(variants)
    settings = {
        "experiment": whole.model_dump(mode="json"),
        "over": {axis.path: [_plain(value) for value in axis.values] for axis in axes}
        | ({SINGLE: True} if single else {}),
        "halving": halving,
    }
    claim(out, settings, resume=resume)
    runner = Runner(base, side, progress, limits.deadline)
    first = whole.training.seed
    chosen = halved(variants, runner, out=out, seed=first) if halving else Halved(tuple(variants), ())
    planned = jobs_of([*chosen.left, *singles], out, seeds=range(first, first + limits.seeds))
    endings = runner.run(planned) if chosen.whole else {}
    _check_some(endings, planned)
    candidates = _candidates(chosen.left, singles, planned)
    result = judged(candidates, seed=first, evaluation=whole.evaluation, reference=variants[0].name)
    not_drawn = write_single_task(result.read, result.ranked, result.seeds, candidates)
    content = result.content | {
        "summary": [*result.content["summary"], *chosen_by(chosen, result.content["rows_scored"])],
        "declined": [*result.content["declined"], *not_drawn],
        "settings": settings | {"seeds": limits.seeds, "minutes": limits.minutes, "jobs": side},
        "variants": {one.name: {"changes": _plain(one.changes), "folder": one.folder} for one in [*variants, *singles]},
        "rounds": list(chosen.rounds),
        "runs": [
            _run(job, endings.get(job.name, Ending(WAITING, "the time budget did not hold the rounds before it")), out)
            for job in planned
        ],
    }
    return Comparison(content, out)


def _document(experiment: Any, changes: Sequence[str]) -> Mapping[str, Any]:
    if isinstance(experiment, Experiment):
        if changes:
            raise SpecError("changes apply to a document; change an Experiment by `model_copy(update=...)`")
        return {name: getattr(experiment, name) for name in experiment.model_fields_set}
    return changed(experiment, changes)


def beside(variant: Variant, whole: Experiment, *, side: int) -> Variant:
    """Every seed divides the rows alike, and runs side by side load their rows themselves."""
    experiment = variant.experiment
    seed = whole.training.seed if whole.data.split_seed is None else whole.data.split_seed
    update: dict[str, Any] = {"data": experiment.data.model_copy(update={"split_seed": seed})}
    if side > 1 and experiment.training.workers == "auto":
        update["training"] = experiment.training.model_copy(update={"workers": 0})
    return replace(variant, experiment=experiment.model_copy(update=update))


def _check(variants: Sequence[Variant], singles: Sequence[Variant]) -> None:
    if len(variants) < 2 and not singles:
        raise SpecError("--over: one variant alone; give two values or more, or --over single")
    if len(singles) == 1:
        raise SpecError("--over single: the experiment has one task, so its model is a single one already")
    if any(one.experiment.training.devices > 1 for one in variants):
        raise SpecError(
            "training.devices: runs are compared side by side, each in one process; set training.devices: 1"
        )


def _side(experiment: Experiment) -> int:
    """As many as cores; on a graphics card one after the other."""
    return 1 if pick_device(experiment.training.device).type == "cuda" else num_cores()


def jobs_of(variants: Sequence[Variant], out: Path, *, seeds: range) -> list[Job]:
    """The first seed of every variant comes first, so that little time compares all rather than some well."""
    found = []
    for seed in seeds:
        for variant in variants:
            training = variant.experiment.training.model_copy(update={"seed": seed})
            experiment = variant.experiment.model_copy(update={"training": training})
            found.append(Job(variant.name, seed, experiment, out / RUNS / variant.folder / f"seed-{seed}"))
    return found


def _candidates(variants: Sequence[Variant], singles: Sequence[Variant], jobs: Sequence[Job]) -> list[Candidate]:
    """The variants with their finished runs; the single models of one seed are one candidate together."""
    runs: dict[str, dict[int, list[Path]]] = {}
    group = dict.fromkeys((one.name for one in singles), SINGLE)
    for job in jobs:
        if job.finished:
            runs.setdefault(group.get(job.variant, job.variant), {}).setdefault(job.seed, []).append(job.folder)
    names = [*(one.name for one in variants), *([SINGLE] if singles else [])]
    return [
        Candidate(
            name,
            {seed: tuple(own) for seed, own in runs[name].items()},
            models=len(singles) if name == SINGLE else 1,
            single=name == SINGLE,
        )
        for name in names
        if name in runs
    ]


def _check_some(endings: Mapping[str, Ending], jobs: Sequence[Job]) -> None:
    if sum(job.finished for job in jobs) > 1:
        return
    reasons = dict.fromkeys(
        f"{name}: {one.state}: {one.reason}" for name, one in endings.items() if one.state != FINISHED
    )
    text = "\n".join(["fewer than two runs are finished, so there is nothing to compare", *reasons])
    mendable = [one.mendable for one in endings.values() if one.state == FAILED]
    raise (SpecError if mendable and all(mendable) else RunError)(text)


def _run(job: Job, ending: Ending, out: Path) -> dict[str, Any]:
    """What compare.json says of one run."""
    entry: dict[str, Any] = {
        "variant": job.variant,
        "seed": job.seed,
        "folder": str(job.folder.relative_to(out)),
        "state": ending.state,
        "reason": ending.reason,
    }
    if not job.finished:
        return entry
    try:
        tasks = Report.of_run(job.folder).content["tasks"]
    except BundleError as error:
        return entry | {"state": FAILED, "reason": str(error)}
    scores = {task: one["metrics"][one["primary"]]["value"] for task, one in tasks.items()}
    return entry | {"scores": scores, "costs": run_costs(job.folder)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "model_dump"):
        kind = {"kind": value.kind} if hasattr(value, "kind") else {}
        return value.model_dump(mode="json", exclude_unset=True) | kind
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
