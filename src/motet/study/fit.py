"""One experiment trained by as many models and processes as it asks for."""

from pathlib import Path

from motet.core.errors import SpecError
from motet.run.experiment import Outcome, run_experiment, train_beside
from motet.run.launch import others, started_together, together
from motet.run.report import Report
from motet.spec import Experiment
from motet.study.before import before_training
from motet.study.search import SEARCH, WEIGHTS, searches
from motet.training import Progress, Quiet


def fit(experiment: Experiment, *, out: Path, base: Path, resume: bool, progress: Progress) -> Outcome:
    """`run_experiment`, in the processes that `torchrun` or `training.devices` started, after what it needs first.

    Raises `SpecError` for what several processes can not do.
    """
    if experiment.training.devices > 1 and not started_together():
        _check(experiment, experiment.training.devices)
        with others(experiment.training.devices, _beside, (experiment, out, base, resume)):
            return _fit(experiment, out=out, base=base, resume=resume, progress=progress)
    return _fit(experiment, out=out, base=base, resume=resume, progress=progress)


def _fit(experiment: Experiment, *, out: Path, base: Path, resume: bool, progress: Progress) -> Outcome:
    with together() as group:
        _check(experiment, group.count)
        if group.rank:
            train_beside(experiment, out=out, base=base, resume=resume, together=group)
            group.any(False)
            return Outcome(out, Report.of_run(out))  # the first process has written it
        ready = before_training(experiment, out=out, progress=progress)
        outcome = run_experiment(
            experiment, out=out, base=base, resume=resume, progress=progress, ready=ready, together=group
        )
        group.any(False)
        return outcome


def _beside(experiment: Experiment, out: Path, base: Path, resume: bool) -> None:
    _fit(experiment, out=out, base=base, resume=resume, progress=Quiet())


def _check(experiment: Experiment, count: int) -> None:
    """Refuse what needs the rows of one process, where there are more."""
    if count == 1:
        return
    if experiment.balance.modalities.kind != "none":
        raise SpecError(
            f"balance.modalities: {experiment.balance.modalities.kind} learns from the rows of one process only, and "
            f"there are {count}; train in one, or use modalities: none"
        )
    if searches(experiment):
        raise SpecError(
            f"balance.tasks.weights: search trains models of its own in one process, and there are {count}; "
            f"search in one, then write down the weights it found ({SEARCH}/{WEIGHTS} in the run)"
        )
    if experiment.training.mix is not None:
        raise SpecError(
            f"training.mix: the rows of a pair may lie in different processes, and there are {count}; train in one, or "
            "leave mix out"
        )
    if experiment.sharing.kind == "dselect":
        raise SpecError(
            f"sharing: the penalties of dselect are means over the rows of one process, and there are {count}; "
            "train in one, or use another way of sharing"
        )
    for task, spec in sorted(experiment.tasks.items()):
        if spec.whole_batch or spec.batched_by is not None:
            raise SpecError(
                f"tasks.{task}: {spec.kind} compares rows that lie in different processes, and there are {count}; "
                "train in one"
            )
    if experiment.fusion.whole_batch:
        raise SpecError(
            f"fusion: {experiment.fusion.kind} aligns inputs by comparing rows that lie in different processes, and "
            f"there are {count}; train in one, or set `align: none`"
        )
    rule = getattr(experiment.fusion, "rule", None)
    if rule in ("stacking", "uncertainty"):
        raise SpecError(
            f"fusion.rule: {rule} compares rows that lie in different processes, and there are {count}; "
            "train in one, or use another rule"
        )
