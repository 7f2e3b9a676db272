"""Where the tasks part from what they share, and where their gradients meet on the way back.

B rows, H the width of the shared features, K tasks.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import overload

import torch
from jaxtyping import Float
from torch import Tensor, nn

from motet.balance.base import PLACES, Balancer, BalancerSpec, Place
from motet.balance.elements import weighed_by_element
from motet.balance.gram import Workspace
from motet.balance.meeting import Meeting, part
from motet.balance.numbers import Numbers
from motet.balance.solve import solve
from motet.balance.watch import Watch
from motet.core.checks import did_you_mean
from motet.core.errors import RunError, SpecError
from motet.core.together import Together

LEAST_LAG = 1e-3
"""A head's loss is weighed by no less than this, so that its gradient can still be read."""


class Junction(nn.Module):
    """The identity with one copy per task; on the way back it combines the tasks' gradients by the balancer's weights.

    `junction(z)` gives `{task: z}`, or for several streams `{stream: z}` gives `{task: {stream: z}}`. If the balancer
    uses gradients all copies come from one node of the graph. In the single ordinary `backward` autograd hands it each
    task's gradient g_k of z, it forms the Gram matrix `G_ij = sum_streams <g_i, g_j>`, asks the balancer for weights
    `w = combine(G)` once, and passes on `sum_k w_k g_k` for each stream. What lies behind a copy (a task's head) keeps
    that task's own gradient. Gradients that are missing or zero are left out of G. If one is not finite, which only a
    finite loss with an infinite slope or a scaled float16 loss can bring about, the plain sum is passed on as it is,
    so that a gradient scaler sees it and skips the step.

    A balancer that does not use gradients costs nothing here: each copy is z itself, but in the steps in which
    `watch` is on. Then all balancers have the node, the gradients are compared, and the weights stay what they are.

    What the Spec of a method says of the junction (`Placement`): `at` is where g_k is taken for G. "features": z
    itself; "layer": the gain and bias of a diagonal affine layer on z, at 1 and 0; "parameters": all parameters z was
    computed from, found by walking the graph, at a pass through it for each task. These passes are all: the combined
    gradient is added to their `grad`, so `torch.autograd.grad`, and `backward` with `inputs` or `create_graph`, find
    nothing behind z, hooks on what was computed there see each task's gradient on its own, and what was kept for
    backward is freed with z, not by backward. Elsewhere the weights found from G are applied to the gradients of z.
    `every: n` solves in each n-th backward and keeps the weights between. `scale` sets the size of the update. With
    `heads: weighted` a head learns from `w_k L_k`, w_k of the backward before (1 in the first, at least 0.001).

    Call `backward` once on the total: a call per task shows the node one gradient at a time, and nothing is balanced.
    Each micro-batch of an accumulated step is combined on its own. A second derivative through the node is an error.
    Tasks are known by name: the order of `tasks` changes nothing. `weights` holds the latest, where the balancer only
    weighs losses the slopes of what became of them, `gram` the names and the matrix of the latest backward. Under
    `torch.compile` the node runs eagerly between compiled parts; at the parameters these need
    `torch._functorch.config.donated_buffer = False` before they are first called.

    With several processes set `together`: each finds the same weights from the sum of G over processes, whose rows are
    disjoint, or, at a layer and at parameters, from the G of the summed gradients; summing `grad` over processes is
    left to the loop. Every process has to run the same backwards. `at: parameters` then needs the list of all
    parameters behind z in `shared`, since not every process's rows go through each of them; so does a method that keeps
    averages, if not every batch does.

    >>> from motet.balance import MGDA
    >>> junction = Junction(MGDA(), tasks=("a", "b"))
    >>> x = torch.tensor([1.0, 1.0], requires_grad=True)
    >>> z = junction(x)
    >>> junction.total({"a": z["a"][0] * 2, "b": z["b"][1]}).backward()
    >>> x.grad.tolist(), junction.weights
    ([0.4000000059604645, 0.800000011920929], {'a': 0.2, 'b': 0.8})
    """

    def __init__(self, balancer: Balancer | BalancerSpec, *, tasks: Sequence[str], seed: int = 0) -> None:
        super().__init__()
        self.tasks = _distinct(tasks)
        if not isinstance(balancer, Balancer | BalancerSpec):
            raise SpecError(f"a junction takes a balancer or its Spec, such as balance.MGDA(), found {balancer!r}")
        self.balancer = balancer.build(self.tasks, seed=seed) if isinstance(balancer, BalancerSpec) else balancer
        self.weights: dict[str, float] = {}
        self.gram: tuple[list[str], Tensor] | None = None
        self.together = Together()
        self.watch = Watch()
        self.shared: list[nn.Parameter] | None = None
        self.workspace = Workspace()
        self.num_left_out = Numbers(self.tasks, start=(0.0,))
        self.latest_weights = Numbers(self.tasks, start=(1.0,))
        self.num_backwards: Tensor
        self.register_buffer("num_backwards", torch.zeros((), dtype=torch.int64))
        self._priorities: dict[str, float] = {}
        self._lags: dict[str, float] = {}

    @property
    def place(self) -> Place | None:
        """Where gradients are compared; None if they are not."""
        places = PLACES[self.balancer.needs]
        at = self.balancer.placement.at
        return at if at != "auto" else places[0] if places else None

    @overload
    def forward(self, z: Float[Tensor, "B *H"]) -> dict[str, Float[Tensor, "B *H"]]: ...
    @overload
    def forward(self, z: Mapping[str, Float[Tensor, "B *H"]]) -> dict[str, dict[str, Float[Tensor, "B *H"]]]: ...
    def forward(self, z: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor] | dict[str, dict[str, Tensor]]:
        """A copy of z for each task, with the structure of z."""
        if isinstance(z, Tensor):
            return {task: copy[""] for task, copy in self._part({"": z}).items()}
        return self._part({stream: z[stream] for stream in sorted(z)})

    def total(
        self, losses: Mapping[str, Float[Tensor, ""] | None], *, priorities: Mapping[str, float] | None = None
    ) -> Float[Tensor, ""]:
        """The scalar to call `backward` on, from each task's mean loss.

        `priorities` (1 where left out) are how much the user wants each task to matter: they multiply what the balancer
        made of a task, and its gradients as the balancer weighs them, so that no method can undo them.

        A task that is missing or None has no label in this step; one whose loss is not finite is left out as if it had
        none, and is counted in `left_out`. With no label at all the total is a zero that moves nothing.

        Raises: `SpecError` for an unknown task or a loss that is not a scalar; `RunError` if losses are given and none
        is finite.
        """
        given = {task: loss for task in self.tasks if (loss := losses.get(task)) is not None}
        self._check(losses)
        if not given:
            return torch.zeros((), requires_grad=True)
        finite = torch.isfinite(torch.stack([loss.detach() for loss in given.values()])).tolist()
        kept = {task: loss for (task, loss), good in zip(given.items(), finite, strict=True) if good}
        for task in given.keys() - kept.keys():
            self.num_left_out[task].add_(1)
        if not kept:
            raise RunError(
                f"no loss is finite: {', '.join(f'{task} is {float(loss.detach())}' for task, loss in given.items())}"
            )
        self._priorities = dict(priorities or {})
        self._lags = self._latest(least=LEAST_LAG) if self.balancer.placement.heads == "weighted" else {}
        terms = self.balancer.weigh(kept)
        if not self.balancer.uses_gradients:
            self.weights = _slopes(terms, kept)
        total = torch.stack([_times(term, self._factor(task)) for task, term in terms.items()]).sum()
        self.watch.told(kept, total)
        return total

    @property
    def left_out(self) -> dict[str, int]:
        """How often each task's loss was not finite, for the tasks to which that happened."""
        return {task: int(count) for task, (count,) in self.num_left_out.lists().items() if count}

    def after_step(self, losses: Mapping[str, float], again: Mapping[str, float] | None = None) -> None:
        """Tell the balancer that the optimiser has stepped: the step's losses, and those after it if it looks again."""
        self.balancer.after_step(losses, again)

    def epoch_end(self, losses: Mapping[str, float], gains: Mapping[str, float] | None = None) -> None:
        """Tell the balancer that an epoch has ended, with its mean losses and the gains on the validation rows."""
        self.balancer.epoch_end(losses, gains)

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return f"tasks={self.tasks}"

    def _part(self, streams: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        trained = torch.is_grad_enabled() and any(z.requires_grad for z in streams.values())
        if not trained or not (self.balancer.uses_gradients or self.watch.on):
            return {task: dict(streams) for task in self.tasks}
        combine = partial(self._combine, watched=self.watch.on)
        return part(streams, tasks=self.tasks, combine=combine, apart=self.place == "parameters")

    def _combine(self, meeting: Meeting, *, watched: bool) -> list[Tensor | None]:
        """The one gradient of each stream."""
        if meeting.empty and not self.together.several:
            return [None] * len(meeting.given)
        meeting.flat = self.together.several or self.balancer.needs == "rows"
        meeting.listed = self.shared if meeting.flat else None
        if watched:
            self.watch.look(meeting, self.tasks, together=self.together)
        meeting.workspace = self.workspace  # not before: what a rare look needs is not kept
        if not self.balancer.uses_gradients:
            return meeting.combined([1.0] * len(self.tasks))
        if self.balancer.needs == "elements":
            factors = {task: self._factor(task) for task in self.tasks}
            streams = range(len(meeting.given))
            return [weighed_by_element(self.balancer, meeting, index, factors=factors) for index in streams]
        every = self.balancer.placement.every
        fresh = every == 1 or int(self.num_backwards) % every == 0
        if every > 1:
            self.num_backwards.add_(1)
        solved = self._solved(meeting) if fresh else self._latest()
        self.weights = {task: solved[task] for task in self.tasks if task in solved}
        # The gradients that came in carry the priorities, which stay on, and the lagged weights, which do not.
        weights = [solved.get(task, 1.0) / self._lags.get(task, 1.0) for task in self.tasks]
        return meeting.combined(weights, at=self.place if fresh and solved else None)

    def _solved(self, meeting: Meeting) -> dict[str, float]:
        """New weights for the tasks with a gradient; none if one is not finite."""
        place, factors = self.place, {task: self._factor(task) for task in self.tasks}
        assert place is not None
        found = solve(
            self.balancer, meeting, place=place, factors=factors, priorities=self._priorities, together=self.together
        )
        self.gram = None if found is None else (list(found.weights), found.gram)
        for task, weight in found.weights.items() if found else ():
            self.latest_weights[task].fill_(weight)
        return found.weights if found else {}

    def _factor(self, task: str) -> float:
        """What is multiplied with a task's term."""
        return self._priorities.get(task, 1.0) * self._lags.get(task, 1.0)

    def _latest(self, *, least: float = -math.inf) -> dict[str, float]:
        """The weights last found."""
        return {task: max(weight, least) for task, (weight,) in self.latest_weights.lists().items()}

    def _check(self, losses: Mapping[str, Tensor | None]) -> None:
        for task, loss in losses.items():
            if task not in self.tasks:
                raise SpecError(f"there is no task {task!r} at this junction{did_you_mean(task, self.tasks)}")
            if loss is not None and loss.dim() != 0:
                raise SpecError(f"the loss of {task!r} has shape {tuple(loss.shape)}; take its mean first")


def _slopes(terms: Mapping[str, Tensor], losses: Mapping[str, Tensor]) -> dict[str, float]:
    """How much each loss counts in the sum of the terms: its derivative; none where nothing is differentiated."""
    if all(terms[task] is loss for task, loss in losses.items()):
        return dict.fromkeys(losses, 1.0)
    learned = {task: loss for task, loss in losses.items() if loss.requires_grad}
    total = torch.stack(list(terms.values())).sum()
    if not learned or not total.requires_grad:
        return {}
    slopes = torch.autograd.grad(total, list(learned.values()), retain_graph=True, materialize_grads=True)
    return dict(zip(learned, torch.stack(slopes).tolist(), strict=True))


def _times(term: Tensor, factor: float) -> Tensor:
    return term if factor == 1 else term * factor


def _distinct(tasks: Sequence[str]) -> tuple[str, ...]:
    twice = [task for task, count in Counter(tasks).items() if count > 1]
    if twice or not tasks:
        raise SpecError(f"a junction needs tasks with different names, found {list(tasks)}")
    return tuple(sorted(tasks))
