"""One step: forward passes, one loss per task over the whole step's labels, one ordinary backward each, one update."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from motet.balance.watch import Related
from motet.core.errors import RunError
from motet.core.flow import Batch, LossTerm
from motet.core.seed import key
from motet.core.together import Together
from motet.model.network import Network
from motet.nn.keyed import keys_of
from motet.training.device import autocast
from motet.training.losses import beside_joint, fusion_losses, task_terms, witness
from motet.training.mix import AnyMix
from motet.training.mixing import decided, mixed
from motet.training.processes import label_counts, over_all, sum_gradients
from motet.training.sharding import forget_idle, gradient_norm, had_rows, is_divided, local, take_step


@dataclass(frozen=True, slots=True)
class StepResult:
    """Loss of each task labelled in the step (mean over its labels), its label count, and whether weights moved.

    `num_rows` is how many rows took part.

    `terms` are what losses hold beside the joint decision's own (`task/stream`), and what is added to them: penalties
    of sharing, losses of a throttle, and of the fusion's own (`fusion/name`). `factors` say what a throttle did to each
    input, as in `Throttle`; `weights` are those of the tasks, as in `Junction`, in the step's last batch; `related` is
    what the junction's watch found, in the steps in which it looks.
    """

    losses: dict[str, float]
    counts: dict[str, float]
    terms: dict[str, float]
    factors: dict[str, float]
    weights: dict[str, float]
    moved: bool
    num_rows: int
    related: Related | None = None


def train_step(
    network: Network,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    *,
    priorities: Mapping[str, float],
    seed: int,
    step: int,
    progress: float = 1.0,
    clip: float | None = None,
    precision: str = "float32",
    mix: AnyMix | None = None,
) -> StepResult:
    """Train on the batches of one step, already on the network's device.

    `progress` says how much of training lies behind, from 0 to 1: what rises or falls with it depends on it alone.

    A task's loss is the mean over its labelled rows of *all* batches: the counts are known before the first backward.
    A task without a label in the step is left out, and so is one whose loss is not finite (of several batches: left out
    of those where it is not); when the gradient itself is not finite, no weight moves.

    With `mix` rows are mixed in pairs: then a label counts as much as it has a share in a row.

    Of several processes (`junction.together`) each brings batches of its own, as many as the others.
    """
    together = network.junction.together
    pairs = mixed(network, batches, mix, seed=seed, step=step, progress=progress)
    judged = [batch if mixture is None else mixture.labels(batch) for batch, mixture in pairs]
    labels, rows = label_counts(judged, sorted(network.tasks), together)
    counts = {task: count for task in sorted(network.tasks) if (count := sum(own[task] for own in labels))}
    losses, terms = dict.fromkeys(counts, 0.0), dict[str, float]()
    optimizer.zero_grad(set_to_none=True)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    divided, ran = any(map(is_divided, parameters)), set[str]()
    for number, ((batch, mixture), own) in enumerate(zip(pairs, labels, strict=True)):
        network.junction.watch.begin(step, first=number == 0)
        shares = {task: own[task] / count for task, count in counts.items() if own[task]}
        keys = keys_of(batch.rows, seed, "step", step)
        with autocast(batch.rows.device, precision):
            tokens, decisions = decided(network, batch, mixture, keys, progress=progress)
        ran |= had_rows(tokens) if divided else set()
        targets, weights = judged[number].targets, judged[number].weights
        parts = task_terms(network, decisions, targets, labelled=list(shares), row_weights=weights)
        parts = over_all(parts, together)
        means = _means(parts)
        # A penalty may be a mean over the rows of its batch; one that is not counts once in all just as well.
        share = rows[number] / max(1, sum(rows))
        added = {name: omega * share for name, omega in _penalties(network).items()}
        alone = fusion_losses(network, tokens, batch, keys=keys, together=together)
        alone = {name: loss * share for name, loss in alone.items()}
        total = _total(network, means, {task: priorities[task] * share for task, share in shares.items()})
        if total is not None and network.throttle.uses_singles:
            weighed = _weights(total, {task: means[task] for task in network.heads if task in means})
            scale = {task: weight / own[task] for task, weight in weighed.items()}
            seen = witness(network, tokens, decisions, batch.targets, scale=scale, keys=keys, precision=precision)
            added |= network.throttle.terms(seen)
        if total is not None:
            # Every process adds the whole penalty: of each a part, so that the sum of their gradients is right.
            parted = [term / together.count for term in _finite(added)]
            sum([*parted, *_finite(alone)], start=total).backward()  # type: ignore[no-untyped-call]
        _add(losses, {task: mean * shares[task] for task, mean in means.items()})
        _add(terms, added | alone | beside_joint(parts, shares))
        # With gradients at the parameters backward keeps the graph: it has to go before the next batch makes another.
        del tokens, decisions, parts, means, added, alone, total
    if network.throttle.uses_singles:
        network.throttle.after_backward(network.encoder_parameters(), key=key(seed, "throttle", step))
    sum_gradients(parameters, alike=list(network.junction.parameters()), together=together)
    if divided:
        forget_idle(network, ran, together)
    moved = _update(optimizer, clip, together)
    if moved:
        told = {task: loss for task, loss in losses.items() if math.isfinite(loss)}
        again = None
        if network.junction.balancer.looks_again:
            again = _again(
                network, batches, labels, counts, seed=seed, step=step, progress=progress, precision=precision
            )
        network.junction.after_step(told, again)
    related = network.junction.watch.found
    factors, balance = dict(network.throttle.factors), dict(network.junction.weights)
    return StepResult(losses, counts, terms, factors, balance, moved, sum(rows), related)


@torch.no_grad()
def _again(
    network: Network,
    batches: Sequence[Batch],
    labels: Sequence[Mapping[str, float]],
    counts: Mapping[str, float],
    *,
    seed: int,
    step: int,
    progress: float,
    precision: str,
) -> dict[str, float]:
    """The step's losses with the weights as they are now: the same rows, the same chance."""
    losses = dict.fromkeys(counts, 0.0)
    for batch, own in zip(batches, labels, strict=True):
        keys = keys_of(batch.rows, seed, "step", step)
        shares = {task: own[task] / count for task, count in counts.items() if own[task]}
        with autocast(batch.rows.device, precision):
            decisions = network(batch.inputs, keys, batch.targets, progress=progress)
        parts = task_terms(network, decisions, batch.targets, labelled=list(shares), row_weights=batch.weights)
        parts = over_all(parts, network.junction.together)
        _add(losses, {task: mean * shares[task] for task, mean in _means(parts).items()})
    return losses


def _means(parts: Mapping[str, Mapping[str, LossTerm]]) -> dict[str, Tensor]:
    """Each task's mean loss, all its terms added."""
    return {task: torch.stack([t.sum / t.count for t in each.values()]).sum() for task, each in parts.items()}


def _total(network: Network, losses: Mapping[str, Tensor], priorities: Mapping[str, float]) -> Tensor | None:
    """What is differentiated; None if no loss is finite: the junction has counted it, and nothing moves.

    The junction sees each batch's own mean, so a loss of ordinary size however few labels the batch has; how much of
    the step's labels that is goes into the priority, and the batches add up to the mean over the step.
    """
    try:
        return network.junction.total(losses, priorities=priorities)
    except RunError:
        return None


def _weights(total: Tensor, losses: Mapping[str, Tensor]) -> dict[str, float]:
    """What each loss weighs in the total, by its slope; without the tasks that are left out."""
    if not losses:
        return {}
    slopes = torch.autograd.grad(total, list(losses.values()), retain_graph=True, allow_unused=True)
    return {task: float(slope) for task, slope in zip(losses, slopes, strict=True) if slope is not None}


def _finite(terms: Mapping[str, Tensor]) -> list[Tensor]:
    """Those that are, with one look at the device."""
    looked_at = torch.stack([term.detach() for term in terms.values()]).isfinite().tolist() if terms else []
    return [term for term, finite in zip(terms.values(), looked_at, strict=True) if finite]


def _penalties(network: Network) -> dict[str, Tensor]:
    return {f"{stream}/{name}": p for stream, one in network.sharing.items() for name, p in one.penalties().items()}


@torch.no_grad()
def _update(optimizer: torch.optim.Optimizer, clip: float | None, together: Together) -> bool:
    moving = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if not moving:
        return False
    norm = gradient_norm(moving, together)
    if not math.isfinite(norm.item()):
        return False
    if clip is not None:
        gradients = [local(p.grad) for p in moving]
        torch._foreach_mul_(gradients, torch.clamp(clip / (norm + 1e-6), max=1.0))
    take_step(optimizer)
    return True


def _add(sums: dict[str, float], values: Mapping[str, Tensor]) -> None:
    """Add each value to its sum, with one look at the device."""
    if values:
        numbers = torch.stack([value.detach() for value in values.values()]).tolist()
        for name, number in zip(values, numbers, strict=True):
            sums[name] = sums.get(name, 0.0) + number
