"""The losses of one batch: of each task's joint decision, of its streams, and of the single-input heads."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from motet.balance import Witness
from motet.core.flow import Batch, Cells, LossTerm, Tokens
from motet.core.together import Together
from motet.model.network import Decision, Network
from motet.training.device import autocast
from motet.training.processes import labels_in, over_all

JOINT = ""
"""The name of the joint decision's own term among those of a task."""


def task_terms(
    network: Network,
    decisions: Mapping[str, Decision],
    targets: Mapping[str, Cells],
    *,
    labelled: Sequence[str],
    row_weights: Float[Tensor, "B"] | None = None,
) -> dict[str, dict[str, LossTerm]]:
    """The terms of each `labelled` task: the joint decision's own, `fusion.auxiliary` times each stream's, the rule's.

    Of all but the rule's the count is that of the task's labelled rows, so that a stream absent from many counts less.
    Of a task that reads parts there is the first alone: a row whose input was taken away has no loss, but counts.
    """
    terms: dict[str, dict[str, LossTerm]] = {}
    weight = network.fusion.auxiliary
    for task in labelled:
        target, decision = targets[task], decisions.get(task)
        count = labels_in(target, row_weights)
        if task not in network.rules:
            terms[task] = {JOINT: LossTerm(_of_parts(network, task, decision, target, row_weights), count)}
            continue
        assert decision is not None
        rule = network.rules[task]
        terms[task] = {JOINT: LossTerm(_sum(rule.loss(decision.output.float(), target), row_weights), count)}
        for stream, opinion in decision.opinions.items() if weight else ():
            own = Cells(target.values, target.present & opinion.present)
            terms[task][stream] = LossTerm(weight * _sum(rule.loss(opinion.output.float(), own), row_weights), count)
        terms[task] |= rule.terms(decision.opinions, target)
    return terms


def _of_parts(
    network: Network, task: str, decision: Decision | None, target: Cells, row_weights: Tensor | None
) -> Tensor:
    """The sum of the losses of the rows that were looked at; where there are none, a zero that moves nothing."""
    if decision is None:
        return torch.zeros((), device=target.present.device, requires_grad=True)
    assert decision.rows is not None
    losses = network.loss(task, decision.output.float(), target.rows(decision.rows))
    return _sum(losses, None if row_weights is None else row_weights[decision.rows])


def _sum(losses: Tensor, row_weights: Tensor | None) -> Tensor:
    return losses.sum() if row_weights is None else (losses * row_weights).sum()


def beside_joint(parts: Mapping[str, Mapping[str, LossTerm]], shares: Mapping[str, float]) -> dict[str, Tensor]:
    """The curves `task/stream` and `task/term`: what a task's loss holds beside that of its joint decision."""
    return {
        f"{task}/{name}": term.sum / term.count * shares[task]
        for task, terms in parts.items()
        for name, term in terms.items()
        if name != JOINT
    }


def fusion_losses(
    network: Network, tokens: Mapping[str, Tokens], batch: Batch, *, keys: Tensor, together: Together
) -> dict[str, Tensor]:
    """The curves `fusion/name`: each loss of the fusion's own, a mean over the rows of all processes that it is about.

    The rows of a filler are another process's to count. Row weights are those of labels, and say nothing here.
    """
    terms = network.objectives(tokens, keys)
    if batch.filler:
        terms = {name: LossTerm(0 * term.sum, 0 * term.count) for name, term in terms.items()}
    whole = over_all({"fusion": terms}, together).get("fusion", {})
    return {f"fusion/{name}": term.sum / term.count.clamp(min=1) for name, term in sorted(whole.items())}


def witness(
    network: Network,
    tokens: Mapping[str, Tokens],
    decisions: Mapping[str, Decision],
    targets: Mapping[str, Cells],
    *,
    scale: Mapping[str, float],
    keys: Tensor,
    precision: str = "float32",
) -> Witness:
    """What a throttle is told of this batch: the tasks are those of `scale`."""
    row_losses = {
        (name, task): network.tasks[task].loss(output.float(), _of(targets[task], tokens[name]))
        for task in scale
        for name, output in decisions[task].singles.items()
    }
    return Witness(
        tokens=tokens,
        targets={task: targets[task] for task in scale},
        losses={name: {task: row_losses[name, task] for task in scale} for name in tokens},
        counted={name: {task: _of(targets[task], tokens[name]).present for task in scale} for name in tokens},
        joint={
            task: network.rules[task].loss(decisions[task].output.float(), targets[task]).detach() for task in scale
        },
        labelled={task: targets[task].present for task in scale},
        scale=scale,
        alone=_alone(network, tokens, targets, tasks=list(scale), keys=keys, precision=precision),
    )


def _alone(
    network: Network,
    tokens: Mapping[str, Tokens],
    targets: Mapping[str, Cells],
    *,
    tasks: Sequence[str],
    keys: Tensor,
    precision: str,
) -> Callable[[frozenset[str]], dict[str, Tensor]]:
    @torch.no_grad()
    def losses(names: frozenset[str]) -> dict[str, Tensor]:
        shown = network.without(tokens, [name for name in tokens if name not in names])
        with autocast(keys.device, precision):
            decisions = network.decide(shown, keys, {})
        return {task: network.rules[task].loss(decisions[task].output.float(), targets[task]) for task in tasks}

    return losses


def _of(target: Cells, tokens: Tokens) -> Cells:
    """The labels of the rows that have the input."""
    return Cells(target.values, target.present & tokens.present)
