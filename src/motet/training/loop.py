"""The training loop: epochs of steps, validation, early stopping, checkpoints; at the end the best weights are kept."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

import torch
from torch import Tensor

from motet.balance.relations import Relations
from motet.core.errors import Diverged
from motet.core.flow import Batch
from motet.model.network import Network
from motet.nn import learned_state, load_learned
from motet.training.average import WeightAverage
from motet.training.checkpoint import CheckpointFolder, Position
from motet.training.interrupt import Interrupted, stop_asked
from motet.training.log import RunLog
from motet.training.optimizer import rate_at, set_rate
from motet.training.progress import Progress
from motet.training.sharding import is_divided
from motet.training.spec import TrainingSpec
from motet.training.step import StepResult, train_step
from motet.training.validation import Validation

LONGEST_GAP = 30.0
"""A checkpoint falls at most this many seconds of work after the last."""
MAX_IDLE_STEPS = 100
"""So many steps in a row that can not move a weight end the run."""


class Loop:
    """Trains `network` in place; everything it needs is passed in, everything it knows is in a checkpoint.

    `priorities` say how much each task matters when a fraction of training lies behind.
    `batches(epoch, position)` yields the batches of an epoch from a position on; `validate` scores the held-out rows,
    or is None, and then the last weights are the best. `data` identifies the rows, `given` the weights that training
    leaves as they are, so that a resume can tell others.
    """

    def __init__(
        self,
        network: Network,
        optimizer: torch.optim.Optimizer,
        spec: TrainingSpec,
        *,
        batches: Callable[[int, int], Iterable[Batch]],
        batches_per_epoch: int,
        priorities: Mapping[str, Callable[[float], float]],
        validate: Callable[[Network], Validation] | None,
        checkpoints: CheckpointFolder,
        progress: Progress,
        watch: Callable[[int, Mapping[str, float]], None] = lambda step, curves: None,
        data: str = "",
        given: str = "",
    ) -> None:
        self.network, self.optimizer, self.spec = network, optimizer, spec
        self.batches, self.batches_per_epoch = batches, batches_per_epoch
        self.priorities, self.validate = priorities, validate
        self.checkpoints, self.progress, self.watch = checkpoints, progress, watch
        self.position = Position(data=data, given=given, compared_at=network.junction.watch.at)
        self.average = WeightAverage(network, decay=spec.average)
        self.best: Mapping[str, Tensor] = {}
        self.device = next(network.parameters()).device
        self.together = network.junction.together
        self.divided = any(map(is_divided, network.parameters()))
        self.steps_per_epoch = math.ceil(batches_per_epoch / spec.accumulate)
        self.num_steps = self.steps_per_epoch * int(spec.epochs)
        self._saved_at = self._started_at = time.monotonic()
        self._save_cost = 0.0

    def restore(self) -> bool:
        """Go back to the newest checkpoint; False where there is none yet, `SpecError` when it is of other data.

        Relations of gradients that were compared at another place are left behind: means are of one kind.
        """
        found = self.checkpoints.load(self.network, self.optimizer)
        if found is None:
            return False
        found.position.check_continued_by(self.position)
        if found.position.compared_at != self.position.compared_at:
            found.position.compared_at = self.position.compared_at
            found.position.relations, found.position.epoch_relations = {}, {}
        self.position, self.best = found.position, found.best
        self.average.restore(found.average)
        return True

    def run(self, log: RunLog) -> None:
        """Train to the end, or to the budget, or until nothing is gained any more; then take the best weights back."""
        self._saved_at = self._started_at = time.monotonic()
        with stop_asked() as stop:
            while not self.position.done:
                self._epoch(log, stop)
        load_learned(self.network, self.best)
        self.progress.say(self._ending())

    def _ending(self) -> str:
        position, gain = self.position, self.position.best_gain
        early = position.epoch < int(self.spec.epochs) and not self._out_of_time()
        why = f"; stopped after {position.stale_epochs} epochs without gain" if early else ""
        of_gain = (
            "" if gain is None else f" (*: {gain:.0%} of the way from the trivial baseline to perfect, tasks averaged)"
        )
        return f"kept the weights of epoch {position.best_epoch}{of_gain}{why}"

    def _epoch(self, log: RunLog, stop: threading.Event) -> None:
        position = self.position
        self.network.train()
        batches = iter(self.batches(position.epoch, position.batch))
        while group := list(islice(batches, self.spec.accumulate)):
            self._step(group, log)
            if self.together.any(stop.is_set()):
                self._save(log)
                raise Interrupted(f"stopped after step {position.step}; a checkpoint is saved, go on with --resume")
            if self._out_of_time():
                break
            if position.batch < self.batches_per_epoch and self._checkpoint_is_due():
                self._save(log)
        self._end_epoch(log)
        if position.done or self._checkpoint_is_due():
            self._save(log)

    def _step(self, group: list[Batch], log: RunLog) -> None:
        position = self.position
        done = position.step / self.num_steps
        rate = rate_at(position.step, self.num_steps, self.spec)
        set_rate(self.optimizer, rate)
        result = train_step(
            self.network,
            self.optimizer,
            [batch.to(self.device) for batch in group],
            priorities={task: weight_at(done) for task, weight_at in self.priorities.items()},
            seed=self.spec.seed,
            step=position.step,
            progress=done,
            clip=self.spec.clip,
            precision=str(self.spec.precision),
            mix=self.spec.mix,
        )
        position.step += 1
        position.batch += len(group)
        position.rows_seen += result.num_rows
        self._count(result, rate=rate)
        self.average.update(step=position.step - 1)
        line = {"step": position.step, "epoch": position.epoch + 1, "losses": result.losses}
        line |= {"terms": result.terms} if result.terms else {}
        line |= {"factors": result.factors} if result.factors else {}
        line |= {"weights": result.weights} if any(weight != 1 for weight in result.weights.values()) else {}
        line |= {"skipped": _skipped(result)} if _skipped(result) else {}
        log.write(line | {"learning_rate": rate, "rows_seen": position.rows_seen})
        self.watch(position.step, {f"loss/{name}": loss for name, loss in result.losses.items()})
        self.progress.step(
            epoch=position.epoch + 1,
            epochs=int(self.spec.epochs),
            step=position.step,
            steps=self.num_steps,
            losses=result.losses,
        )

    def _count(self, result: StepResult, *, rate: float) -> None:
        if result.related is not None:
            for sums in (self.position.relations, self.position.epoch_relations):
                Relations(sums).add(result.related, rate=rate)
        for task in _skipped(result):
            self.position.skipped[task] = self.position.skipped.get(task, 0) + 1
        for task, loss in result.losses.items():
            if math.isfinite(loss):
                self.position.loss_sums[task] = self.position.loss_sums.get(task, 0.0) + loss * result.counts[task]
                self.position.loss_counts[task] = self.position.loss_counts.get(task, 0) + result.counts[task]
        idle = not result.moved and bool(result.losses)
        self.position.idle_steps = self.position.idle_steps + 1 if idle else 0
        if self.position.idle_steps >= MAX_IDLE_STEPS:
            raise Diverged(
                f"step {self.position.step}: no loss or gradient was finite for {MAX_IDLE_STEPS} steps in a row "
                f"({', '.join(result.losses)}); try a lower training.learning_rate, or look at the targets"
            )

    def _end_epoch(self, log: RunLog) -> None:
        position = self.position
        means = {task: position.loss_sums[task] / count for task, count in position.loss_counts.items()}
        with self.average.applied():
            validation = None if self.validate is None else self.validate(self.network)
            self._judge(validation)
        gains = None if validation is None else {t: self.together.first(g) for t, g in sorted(validation.gains.items())}
        self.network.junction.epoch_end(means, gains)
        self.network.epoch_end(None if validation is None else validation.losses)
        line = {"step": position.step, "epoch": position.epoch + 1, "train": means}
        text = "  ".join(f"{task} loss {loss:.4f}" for task, loss in means.items())
        if validation is not None:
            line |= {
                "valid": {task: dict(scores) for task, scores in validation.scores.items()},
                "gain": validation.gain,
            }
            line |= {name: found for name in ("singles", "tables") if (found := getattr(validation, name))}
            text = validation.text + ("  *" if position.best_epoch == position.epoch + 1 else "")
            curves = {f"{t}/{m}": value for t, scores in validation.scores.items() for m, value in scores.items()}
            self.watch(position.step, curves)
        cosines = Relations(position.epoch_relations).cosines()
        log.write(line | ({"cosines": cosines} if cosines else {}))
        position.epoch, position.batch = position.epoch + 1, 0
        position.loss_sums, position.loss_counts, position.epoch_relations = {}, {}, {}
        self.progress.epoch(epoch=position.epoch, epochs=int(self.spec.epochs), text=text)
        patient = self.spec.patience is None or position.stale_epochs < int(self.spec.patience)
        position.done = position.epoch >= int(self.spec.epochs) or not patient or self._out_of_time()

    def _judge(self, validation: Validation | None) -> None:
        """Keep the weights if they are the best so far; the last ones where nothing is validated.

        Of equal gains the later one is kept: a rank metric is perfect early, long before the losses are low.
        """
        position = self.position
        gain = None if validation is None else self.together.first(validation.gain)
        gained = gain is None or position.best_gain is None or gain > position.best_gain
        position.stale_epochs = 0 if gained else position.stale_epochs + 1
        if gained or gain == position.best_gain:
            position.best_gain, position.best_epoch = gain, position.epoch + 1
            self.best = {name: tensor.detach().clone() for name, tensor in learned_state(self.network).items()}

    def _checkpoint_is_due(self) -> bool:
        """At most 2 % of the time goes into checkpoints, and at most `LONGEST_GAP` seconds lie between two.

        Where weights are divided all processes have to save at once: the first says when.
        """
        gap = min(LONGEST_GAP - self._save_cost, max(1.0, 50 * self._save_cost))
        due = time.monotonic() - self._saved_at >= gap
        return self.together.any(due and self.together.rank == 0) if self.divided else due

    def _save(self, log: RunLog) -> None:
        begun = time.monotonic()
        self.position.log_bytes = log.sync()
        self.position.seconds = self._seconds()
        self._started_at = begun
        self.checkpoints.save(
            self.position, self.network, self.optimizer, average=self.average.tensors(), best=self.best
        )
        self._saved_at = time.monotonic()
        self._save_cost = self._saved_at - begun

    def _seconds(self) -> float:
        return self.position.seconds + time.monotonic() - self._started_at

    def _out_of_time(self) -> bool:
        return self.spec.minutes is not None and self.together.any(self._seconds() >= 60 * self.spec.minutes)


def _skipped(result: StepResult) -> list[str]:
    return sorted(task for task, loss in result.losses.items() if not (result.moved and math.isfinite(loss)))
