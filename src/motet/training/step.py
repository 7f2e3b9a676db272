"""One step: forward passes, one loss per task over the whole step's labels, one ordinary backward each, one update."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from motet.core.errors import RunError
from motet.core.flow import Batch, Cells, LossTerm
from motet.model.network import Decision, Network
from motet.nn.keyed import keys_of
from motet.training.device import autocast


@dataclass(frozen=True, slots=True)
class StepResult:
    """Loss of each task labelled in the step (mean over its labels), its label count, and whether weights moved."""

    losses: dict[str, float]
    counts: dict[str, int]
    penalties: dict[str, float]
    moved: bool


def train_step(
    network: Network,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    *,
    priorities: Mapping[str, float],
    seed: int,
    step: int,
    clip: float | None = None,
    precision: str = "float32",
) -> StepResult:
    """Train on the batches of one step, already on the network's device.

    A task's loss is the mean over its labelled rows of *all* batches: the counts are known before the first backward.
    A task without a label in the step is left out, and so is one whose loss is not finite (of several batches: left out
    of those where it is not); when the gradient itself is not finite, no weight moves.
    """
    labels = [{task: int(batch.targets[task].present.sum()) for task in network.heads} for batch in batches]
    counts = {task: sum(own[task] for own in labels) for task in network.heads}
    sums = dict.fromkeys((task for task, count in counts.items() if count), 0.0)
    penalties: dict[str, float] = {}
    optimizer.zero_grad(set_to_none=True)
    num_batches = len(batches)
    for batch, own in zip(batches, labels, strict=True):
        with autocast(batch.rows.device, precision):
            decisions = network(batch.inputs, keys_of(batch.rows, seed, "step", step))
        labelled = [task for task, count in own.items() if count]
        terms = task_terms(network, decisions, batch.targets, labelled=labelled)
        # The junction sees each batch's own mean, so a loss of ordinary size however few labels the batch has; how much
        # of the step's labels that is goes into the priority, and the batches add up to the mean over the step.
        losses = {task: term.sum / own[task] for task, term in terms.items()}
        shares = {task: own[task] / counts[task] for task in losses}
        omega = {f"{s}/{n}": p for s, sharing in network.sharing.items() for n, p in sharing.penalties().items()}
        weights = {task: priorities[task] * share for task, share in shares.items()}
        with contextlib.suppress(RunError):  # no loss is finite: the junction has counted it, and nothing moves
            total = network.junction.total(losses, priorities=weights)
            if omega:
                total = total + torch.stack(list(omega.values())).sum() / num_batches
            total.backward()  # type: ignore[no-untyped-call]
        for task, value in zip(losses, _floats(list(losses.values())), strict=True):
            sums[task] += value * shares[task]
        penalties = dict(zip(omega, _floats(list(omega.values())), strict=True))
    moved = _update(optimizer, clip)
    if moved:
        network.junction.after_step({task: loss for task, loss in sums.items() if math.isfinite(loss)})
    return StepResult(sums, {task: counts[task] for task in sums}, penalties, moved)


def task_terms(
    network: Network, decisions: Mapping[str, Decision], targets: Mapping[str, Cells], *, labelled: Sequence[str]
) -> dict[str, LossTerm]:
    """The loss of each `labelled` task over its labelled rows: the joint decision's, plus `fusion.auxiliary` times each
    stream's own.
    """
    terms = {}
    for task in labelled:
        spec, target, decision = network.tasks[task], targets[task], decisions[task]
        total = spec.loss(decision.output.float(), target).sum()
        if network.fusion.auxiliary:
            for stream, output in decision.streams.items():
                own = Cells(target.values, target.present & decision.present[stream])
                total = total + network.fusion.auxiliary * spec.loss(output.float(), own).sum()
        terms[task] = LossTerm(total, target.present.sum())
    return terms


def _update(optimizer: torch.optim.Optimizer, clip: float | None) -> bool:
    moving = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if not moving:
        return False
    norm = torch.nn.utils.get_total_norm([p.grad for p in moving])
    if not math.isfinite(norm.item()):
        return False
    if clip is not None:
        torch.nn.utils.clip_grads_with_norm_(moving, clip, norm)
    optimizer.step()
    return True


def _floats(values: Sequence[Tensor]) -> list[float]:
    return [float(value) for value in torch.stack([v.detach() for v in values]).tolist()] if values else []
