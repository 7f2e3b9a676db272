"""A training step taken apart: no junction, a gradient per task and micro-batch at the very tensor, combined by hand.

K tasks, P numbers in all shared parameters.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from junction_world import AUXILIARY, PRIORITIES, SEED, TASKS, shared
from torch import Tensor, nn

from motet.balance.base import PLACES, Balancer, scaled
from motet.balance.junction import LEAST_LAG
from motet.balance.meeting import SALT
from motet.core.flow import Batch, Cells
from motet.model import Decision, Network
from motet.nn.keyed import keys_of, uniform


class Open(nn.Module):
    """In the junction's place: every task gets the same copy, cut off from what it was computed from."""

    def __init__(self, balancer: Balancer) -> None:
        super().__init__()
        self.balancer = balancer
        self.z: dict[str, Tensor] = {}
        self.leaves: dict[str, Tensor] = {}

    def forward(self, z: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        self.z = {stream: z[stream] for stream in sorted(z)}
        self.leaves = {stream: one.detach().requires_grad_() for stream, one in self.z.items()}
        return dict.fromkeys(TASKS, self.leaves)


class OneByOne:
    """A copy of a network, and steps of it by separate gradients; `grams` are those of the latest, one per batch."""

    def __init__(self, network: Network, *, precision: str = "float32", priorities: Mapping[str, float] = PRIORITIES):
        self.net, self.priorities = copy.deepcopy(network), priorities
        self.precision, self.balancer = precision, self.net.junction.balancer
        self.shared = shared(self.net)
        self.net.junction = Open(self.balancer)  # type: ignore[assignment]
        self.latest = dict.fromkeys(TASKS, 1.0)
        self.num_backwards = 0
        self.grams: list[Tensor] = []
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.05)

    def step(self, batches: Sequence[Batch], *, step: int, clip: float | None = None) -> dict[str, float]:
        """As `train_step`: the losses."""
        self.optimizer.zero_grad(set_to_none=True)
        self.grams, told = [], dict.fromkeys(TASKS, 0.0)
        for one, shares in self._shared_out(batches):
            losses = self.losses(one, step=step)
            self._backward(losses, shares, keys_of(one.rows, SEED, "step", step))
            told |= {task: told[task] + float(loss.detach()) * shares[task] for task, loss in losses.items()}
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), clip)
        self.optimizer.step()
        again = dict.fromkeys(TASKS, 0.0)
        for one, shares in self._shared_out(batches) if self.balancer.looks_again else ():
            for task, loss in self.losses(one, step=step).items():
                again[task] += float(loss.detach()) * shares[task]
        self.balancer.after_step(told, again if self.balancer.looks_again else None)
        return told

    def _shared_out(self, batches: Sequence[Batch]) -> list[tuple[Batch, dict[str, float]]]:
        """Each batch, and which part of each task's labels in the step it has."""
        counts = [{task: int(one.targets[task].present.sum()) for task in TASKS} for one in batches]
        whole = {task: sum(own[task] for own in counts) for task in TASKS}
        return [
            (one, {t: own[t] / whole[t] for t in TASKS if own[t]}) for one, own in zip(batches, counts, strict=True)
        ]

    def losses(self, one: Batch, *, step: int) -> dict[str, Tensor]:
        """Of each task with a label in this batch: its mean over these, streams included."""
        keys = keys_of(one.rows, SEED, "step", step)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bfloat16"):
            decisions = self.net.decide(self.net.encode(one.inputs, keys), keys)
        labelled = [task for task in TASKS if one.targets[task].present.any()]
        return {task: self._loss(task, decisions[task], one.targets[task]) for task in labelled}

    def _loss(self, task: str, decision: Decision, target: Cells) -> Tensor:
        rows = self.net.rules[task].loss(decision.output.float(), target)[target.present]
        total = rows.sum()
        for opinion in decision.opinions.values():
            own = target.present & opinion.present
            total = (
                total
                + AUXILIARY * self.net.rules[task].loss(opinion.output.float(), Cells(target.values, own))[own].sum()
            )
        return total / len(rows)

    def _backward(self, losses: Mapping[str, Tensor], shares: Mapping[str, float], keys: Tensor) -> None:
        """Add the gradients of one batch to those that are there."""
        names, placement = sorted(losses), self.balancer.placement
        lags = {t: max(self.latest[t], LEAST_LAG) if placement.heads == "weighted" else 1.0 for t in names}
        kept = {task: self.priorities[task] * shares[task] for task in names}
        values = {task: losses[task].detach().requires_grad_() for task in names}
        terms = self.balancer.weigh(values)
        total = torch.stack([terms[task] * (kept[task] * lags[task]) for task in names]).sum()
        learned = list(self.balancer.parameters())
        slopes = torch.autograd.grad(total, [*values.values(), *learned], allow_unused=True)
        self._add(learned, slopes[len(names) :])
        open_ = self.net.junction
        z, leaves = list(open_.z.values()), list(open_.leaves.values())
        g = {
            task: torch.autograd.grad(losses[task], leaves, slope, retain_graph=True, materialize_grads=True)
            for task, slope in zip(names, slopes, strict=False)
        }
        own = [p for p in self.net.parameters() if not any(p is one for one in learned)]
        behind = torch.stack([losses[task] * slope for task, slope in zip(names, slopes, strict=False)]).sum()
        self._add(own, torch.autograd.grad(behind, own, retain_graph=True, allow_unused=True))
        combined, instead = self._combined(g, z, kept=kept, lags=lags, keys=keys)
        if instead is None:
            instead = torch.autograd.grad(z, self.shared, combined, allow_unused=True)
        self._add(self.shared, instead)

    def _combined(
        self,
        g: Mapping[str, Sequence[Tensor]],
        z: Sequence[Tensor],
        *,
        kept: Mapping[str, float],
        lags: Mapping[str, float],
        keys: Tensor,
    ) -> tuple[list[Tensor], list[Tensor] | None]:
        """The gradient of each stream; and that of each shared parameter, where the method puts others in its place."""
        balancer, names = self.balancer, list(g)
        by_stream = [torch.stack([g[task][index] for task in names]) for index in range(len(z))]
        if balancer.needs == "losses":
            return [one.sum(dim=0) for one in by_stream], None
        factors = torch.tensor([kept[task] * lags[task] for task in names], dtype=torch.float64)
        if balancer.needs == "elements":
            return [self._by_element(one, factors, names, keys, index) for index, one in enumerate(by_stream)], None
        fresh, self.num_backwards = self.num_backwards % balancer.placement.every == 0, self.num_backwards + 1
        instead, weights = None, self.latest
        if fresh:
            rows = self._rows(g, z)
            weights, instead = self._solved(rows, factors, names, kept)
            self.latest = self.latest | weights
        w = [weights.get(task, 1.0) / lags[task] for task in names]
        combined = [
            sum((wk * gk.to(_wide(gk)) for wk, gk in zip(w, one, strict=True))).to(one.dtype) for one in by_stream
        ]
        return combined, instead

    def _solved(
        self, rows: Tensor, factors: Tensor, names: Sequence[str], kept: Mapping[str, float]
    ) -> tuple[dict[str, float], list[Tensor] | None]:
        live = [index for index, row in enumerate(rows) if bool((row != 0).any())]
        names, bare = [names[index] for index in live], rows[live] / factors[live, None]
        gram = bare @ bare.T
        self.grams.append(gram)
        if self.balancer.needs == "gram":
            weights, instead = self.balancer.combine(gram, names), None
        else:
            weights, instead = self.balancer.combine_rows(bare, names)
        instead = instead if self.place == "parameters" else None
        used = bare if instead is None else instead.double()
        weights = scaled(weights.double(), gram, self.balancer.placement.scale, combined=used @ used.T)
        found = dict(zip(names, weights.tolist(), strict=True))
        if instead is None:
            return found, None
        row = sum(found[task] * kept[task] * one for task, one in zip(names, used, strict=True))
        parts = torch.split(row, [one.numel() for one in self.shared])
        return found, [part.view_as(one).to(one) for part, one in zip(parts, self.shared, strict=True)]

    def _rows(self, g: Mapping[str, Sequence[Tensor]], z: Sequence[Tensor]) -> Tensor:
        """The gradients at the place, in float64."""
        return torch.stack([self._row(own, z) for own in g.values()])

    def _row(self, own: Sequence[Tensor], z: Sequence[Tensor]) -> Tensor:
        if self.place == "features":
            parts: Sequence[Tensor] = own
        elif self.place == "layer":
            parts = [
                part
                for gk, zk in zip(own, z, strict=True)
                for part in ((gk.double() * zk.double()).sum(0), gk.double().sum(0))
            ]
        else:
            parts = torch.autograd.grad(
                z, self.shared, own, retain_graph=True, allow_unused=True, materialize_grads=True
            )
        return torch.cat([part.detach().double().flatten() for part in parts])

    def _by_element(self, g: Tensor, factors: Tensor, names: Sequence[str], keys: Tensor, index: int) -> Tensor:
        live = [k for k, one in enumerate(g) if bool((one != 0).any())]
        bare = g[live] / factors[live].to(g).view(-1, 1, 1)
        chance = uniform(keys, salt=SALT + index, count=g.shape[2])
        return (self.balancer.combine_elements(bare, [names[k] for k in live], chance) * g[live]).sum(dim=0)

    @property
    def place(self) -> str:
        at = self.balancer.placement.at
        return at if at != "auto" else PLACES[self.balancer.needs][0]

    @staticmethod
    def _add(parameters: Sequence[Any], gradients: Sequence[Tensor | None]) -> None:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def _wide(one: Tensor) -> torch.dtype:
    return torch.float64 if one.dtype == torch.float64 else torch.float32
