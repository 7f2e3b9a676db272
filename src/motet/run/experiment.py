"""One experiment, from table to bundle: prepare, assemble, train, save, evaluate, report."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from motet.artifact import Bundle, write_bundle, write_file
from motet.core.errors import SpecError
from motet.core.flow import Batch
from motet.core.together import Together
from motet.core.version import __version__
from motet.data import Loader
from motet.model import Network, collect
from motet.nn import fingerprint, given_state
from motet.run.evaluate import evaluate_run, write_report
from motet.run.frozen import with_known_states
from motet.run.init_from import KEPT
from motet.run.judge import batches_of, calibrate, check_finite, priors, start_from_priors, validator
from motet.run.learner import check_learner, learner, put_together
from motet.run.order import check_order, order_of
from motet.run.prepare import Prepared, build, prepare
from motet.run.relations import relations_of
from motet.run.report import Report
from motet.run.resolved import EXPERIMENT, claim, write_resolved
from motet.run.tracker import tracker
from motet.run.trust import facts_of
from motet.spec import Experiment
from motet.training import CheckpointFolder, Loop, NoLog, Progress, Quiet, RunLog, build_optimizer

LOG, REPORT, RELATIONS = "log.jsonl", "report.json", "relations.json"
ONLY_TRAINING = "junction."
"""What a bundle leaves out: how the tasks were balanced, which can be several copies of all weights."""


@dataclass(frozen=True)
class Outcome:
    """A finished run: its folder, its report, and whether it had been finished before."""

    folder: Path
    report: Report
    already_done: bool = False


def run_experiment(
    experiment: Experiment,
    *,
    out: Path,
    base: Path,
    resume: bool,
    progress: Progress,
    ready: Callable[[Prepared, Network], Prepared] = lambda prepared, network: prepared,
    together: Together | None = None,
) -> Outcome:
    """Train and evaluate into `out`; nothing is written there before the data is known to be good.

    `ready` may still change the untrained network: a study that trains models of its own to find out how. What it found
    is in the experiment it gives back, that of the bundle and of the finished run; until then the folder has the one
    that was asked for. Of several processes that train `together` this is the first; the others `train_beside` it.

    Raises `SpecError` when `out` holds a run and `resume` is False, or holds the run of another experiment.
    """
    if out.exists() and not out.is_dir():
        raise SpecError(f"{out}: is a file, not the folder of a run; choose another with --out")
    if holds_run(out) and not resume:
        raise SpecError(f"{out}: holds a run already; go on with it by --resume, or choose another folder with --out")
    if resume and (out / REPORT).is_file():
        progress.say(f"{out}: this run is finished; there is nothing to resume")
        return Outcome(out, Report.of_run(out), already_done=True)
    prepared = prepare(experiment, base=base, progress=progress, kept=out / KEPT if resume else None)
    network = build(prepared.fitted)
    check_learner(experiment, network, together)
    check_order(prepared, network)
    asked = prepared.fitted.experiment
    claim(out, asked, resume=resume)
    if prepared.fitted.start is not None:
        prepared.fitted.start.keep(out / KEPT)
    prepared = ready(with_known_states(prepared, network, progress=progress), network)
    loop = train(prepared, network, out=out, resume=resume, progress=progress, together=together)
    _write_relations(out, network, loop)
    prepared = _calibrated(prepared, network)
    save(prepared, network, out / "bundle")
    evaluated = evaluate_run(prepared, network, loop.position, progress=progress)
    write_report(out, evaluated)
    if prepared.fitted.experiment != asked:
        write_resolved(out, prepared.fitted.experiment)
    shutil.rmtree(out / KEPT, ignore_errors=True)
    return Outcome(out, evaluated.report)


def train_beside(experiment: Experiment, *, out: Path, base: Path, resume: bool, together: Together) -> None:
    """The part of a process beside the first: the same training, with rows of its own, and nothing written.

    `out` has to be the same folder for all, on a disk they all see: a resumed training reads its checkpoint there.
    """
    if resume and (out / REPORT).is_file():
        return
    prepared = prepare(experiment, base=base, progress=Quiet(), kept=out / KEPT if resume else None)
    network = build(prepared.fitted)
    check_learner(experiment, network, together)
    check_order(prepared, network)
    prepared = with_known_states(prepared, network, progress=Quiet())
    train(prepared, network, out=out, resume=resume, progress=Quiet(), together=together)


def holds_run(folder: Path) -> bool:
    """Whether anything of a run is in the folder."""
    return any((folder / name).exists() for name in (EXPERIMENT, LOG, REPORT, "bundle", "checkpoints"))


def train(
    prepared: Prepared,
    network: Network,
    *,
    out: Path,
    resume: bool,
    progress: Progress,
    together: Together | None = None,
) -> Loop:
    """Train the experiment's network in place, from its newest checkpoint when resuming.

    Of several processes that share the weights the first alone has the trained network at the end.
    """
    together = together or Together()
    network.junction.watch.every = int(prepared.fitted.experiment.balance.watch)
    first = together.rank == 0
    fitted, spec = prepared.fitted, prepared.fitted.experiment.training
    given = fingerprint(given_state(network))
    trained = learner(network, spec, together)
    order = order_of(prepared, network, rank=together.rank, count=together.count)
    baseline = priors(prepared)
    start_from_priors(trained, baseline)

    loader = Loader(prepared.dataset, order, workers=int(spec.workers))

    def batches(epoch: int, position: int) -> Iterator[Batch]:
        loader.epoch, loader.position = epoch, position
        return (batch.as_filler() if order.idle(place) else batch for _, place, batch in loader)

    with tracker(out / "tensorboard", wanted=spec.tensorboard and first) as watch, loader:
        loop = Loop(
            trained,
            build_optimizer(trained, spec),
            spec,
            batches=batches,
            batches_per_epoch=len(order),
            priorities={task: one.weight_at for task, (one, _) in fitted.tasks.items()},
            validate=validator(prepared, baseline),
            checkpoints=CheckpointFolder(out / "checkpoints", writes=first),
            progress=progress,
            watch=watch,
            data=fitted.table.content_hash,
            given=given,
        )
        resumed = resume and loop.restore()
        with RunLog(out / LOG, keep_bytes=loop.position.log_bytes) if first else NoLog() as log:
            if resumed:
                for damage in loop.checkpoints.passed_over:
                    progress.say(f"warning: {damage}; the checkpoint before it is whole and is used")
                log.write({"resumed_at": loop.position.step})
                progress.say(f"going on after step {loop.position.step}")
            elif fitted.taken is not None:
                log.write({"init_from": fitted.taken.document()})
            loop.run(log)
    put_together(trained, network)
    return loop


def save(prepared: Prepared, network: Network, folder: Path) -> None:
    """Write the bundle: what serving needs, and no path of this machine."""
    fitted = prepared.fitted
    inputs = {name: spec.portable() for name, spec in fitted.experiment.inputs.items()}
    document = fitted.experiment.model_copy(update={"inputs": inputs}).model_dump(mode="json")
    write_bundle(
        folder,
        Bundle(
            model={room: document[room] for room in ("inputs", "tasks", "fusion", "sharing", "balance")},
            preparations={name: one.model_dump(mode="json") for name, (_, one) in fitted.inputs.items()},
            codecs={name: one.model_dump(mode="json") for name, (_, one) in fitted.tasks.items()},
            facts={
                "motet": __version__,
                "id": document["data"]["id"],
                "on_bad_cell": document["data"]["on_bad_cell"],
                "max_bad_fraction": document["data"]["max_bad_fraction"],
                "trained_rows": len(fitted.splits.train),
                "priors": {task: prior.tolist() for task, prior in priors(prepared).items()},
            }
            | facts_of(prepared),
            weights={name: one for name, one in network.state_dict().items() if not name.startswith(ONLY_TRAINING)},
        ),
    )


def _write_relations(out: Path, network: Network, loop: Loop) -> None:
    """How the tasks' gradients related while training, where they were compared."""
    for found in relations_of(network, loop.position).values():
        write_file(out / RELATIONS, json.dumps(found, indent=1, ensure_ascii=False).encode())


def _calibrated(prepared: Prepared, network: Network) -> Prepared:
    """With intervals fitted on the validation rows, where there are any; raises `RunError` if training diverged."""
    rows = prepared.fitted.splits.valid
    if not len(rows):
        return prepared
    collected = collect(network, batches_of(prepared.dataset, rows))[0]
    check_finite(collected)
    codecs = calibrate(prepared, collected)
    tasks = {task: (spec, codecs[task]) for task, (spec, _) in prepared.fitted.tasks.items()}
    return replace(prepared, fitted=replace(prepared.fitted, tasks=tasks))
