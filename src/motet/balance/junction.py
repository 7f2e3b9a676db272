"""Where the tasks part from what they share, and where their gradients meet on the way back.

B rows, H the width of the shared features, K tasks.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, overload

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from motet.balance.base import Balancer, BalancerSpec
from motet.balance.gram import Workspace, gram_matrix, weighted_sum
from motet.core.checks import did_you_mean
from motet.core.errors import RunError, SpecError
from motet.nn.named import escape


class Junction(nn.Module):
    """The identity with one copy per task; on the way back it combines the tasks' gradients by the balancer's weights.

    `junction(z)` gives `{task: z}`, or for several streams `{stream: z}` gives `{task: {stream: z}}`. If the balancer
    uses gradients all copies come from one node of the graph. In the single ordinary `backward` autograd hands it each
    task's gradient g_k of z, it forms the Gram matrix `G_ij = sum_streams <g_i, g_j>`, asks the balancer for weights
    `w = combine(G)` once, and passes on `sum_k w_k g_k` for each stream. What lies behind a copy (a task's head) keeps
    that task's own gradient. Gradients that are missing or zero are left out of G. If one is not finite, which only a
    finite loss with an infinite slope or a scaled float16 loss can bring about, the plain sum is passed on as it is,
    so that a gradient scaler sees it and skips the step.

    A balancer that does not use gradients costs nothing here: each copy is z itself.

    Call `backward` once on the total: a call per task shows the node one gradient at a time, and nothing is balanced.
    Each micro-batch of an accumulated step is combined on its own. A second derivative through the node is an error.
    Tasks are known by name: the order of `tasks` changes nothing. `weights` holds those of the latest backward. Under
    `torch.compile` the node runs eagerly between compiled parts. With several processes each solves for its own rows:
    G is not summed over them.

    >>> from motet.balance import MGDA
    >>> junction = Junction(MGDA(scale="convex"), tasks=("a", "b"))
    >>> x = torch.tensor([1.0, 1.0], requires_grad=True)
    >>> z = junction(x)
    >>> junction.total({"a": z["a"][0] * 2, "b": z["b"][1]}).backward()
    >>> x.grad.tolist(), junction.weights
    ([0.4000000059604645, 0.800000011920929], {'a': 0.2, 'b': 0.8})
    """

    def __init__(self, balancer: Balancer | BalancerSpec, *, tasks: Sequence[str]) -> None:
        super().__init__()
        self.tasks = _distinct(tasks)
        self.balancer = balancer.build(self.tasks) if isinstance(balancer, BalancerSpec) else balancer
        self.weights: dict[str, float] = {}
        self.priorities: dict[str, float] = {}
        self.workspace = Workspace()
        self.num_left_out = nn.Module()
        for task in self.tasks:
            self.num_left_out.register_buffer(escape(task), torch.zeros((), dtype=torch.int64))

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
            self.num_left_out.get_buffer(escape(task)).add_(1)
        if not kept:
            raise RunError(f"no loss is finite: {', '.join(f'{task} is {loss}' for task, loss in _values(given))}")
        self.priorities = {task: priorities.get(task, 1.0) for task in kept} if priorities else {}
        terms = self.balancer.weigh(kept)
        return torch.stack([_times(term, self.priorities.get(task, 1.0)) for task, term in terms.items()]).sum()

    @property
    def left_out(self) -> dict[str, int]:
        """How often each task's loss was not finite, for the tasks to which that happened."""
        counts = {task: int(self.num_left_out.get_buffer(escape(task))) for task in self.tasks}
        return {task: count for task, count in counts.items() if count}

    def after_step(self, losses: Mapping[str, float]) -> None:
        """Tell the balancer that the optimiser has stepped, with the step's losses."""
        self.balancer.after_step(losses)

    def epoch_end(self, losses: Mapping[str, float]) -> None:
        """Tell the balancer that an epoch has ended, with its mean losses."""
        self.balancer.epoch_end(losses)

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return f"tasks={self.tasks}"

    def _part(self, streams: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        trained = torch.is_grad_enabled() and any(z.requires_grad for z in streams.values())
        if not self.balancer.uses_gradients or not trained:
            return {task: dict(streams) for task in self.tasks}
        # The compiler can not follow a node of our own: it has to stop before it and go on behind it.
        node = torch.compiler.disable(_Node.apply) if torch.compiler.is_compiling() else _Node.apply  # type: ignore[no-untyped-call]
        copies = iter(node(self, *streams.values()))
        by_stream = {stream: {task: next(copies) for task in self.tasks} for stream in streams}
        return {task: {stream: by_stream[stream][task] for stream in streams} for task in self.tasks}

    def _solve(self, gram: Float[Tensor, "K K"]) -> list[float]:
        """Weights for all tasks from the Gram of all tasks, rows without a gradient being zero."""
        weights = torch.ones(len(self.tasks), dtype=torch.float64)
        live = gram.diagonal().nonzero().squeeze(1)
        names = [self.tasks[index] for index in live.tolist()]
        if names and bool(gram.isfinite().all()):
            # The gradients that come in carry the priorities; the balancer judges them without, and they stay on.
            factors = torch.tensor([self.priorities.get(name, 1.0) for name in names], dtype=torch.float64)
            bare = gram[live][:, live] / torch.outer(factors, factors)
            weights[live] = self.balancer.combine(bare, names).to(weights)
        self.weights = dict(zip(names, weights[live].tolist(), strict=True))
        return weights.tolist()

    def _check(self, losses: Mapping[str, Tensor | None]) -> None:
        for task, loss in losses.items():
            if task not in self.tasks:
                raise SpecError(f"there is no task {task!r} at this junction{did_you_mean(task, self.tasks)}")
            if loss is not None and loss.dim() != 0:
                raise SpecError(f"the loss of {task!r} has shape {tuple(loss.shape)}; take its mean first")


class _Node(torch.autograd.Function):
    """Forward: every stream once per task. Backward: the combined gradient of every stream."""

    @staticmethod
    def forward(ctx: Any, junction: Junction, *streams: Tensor) -> tuple[Tensor, ...]:
        ctx.junction = junction
        ctx.set_materialize_grads(False)
        return tuple(z.view_as(z) for z in streams for _ in junction.tasks)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        num_tasks = len(ctx.junction.tasks)
        groups = [gradients[start : start + num_tasks] for start in range(0, len(gradients), num_tasks)]
        wanted = ctx.needs_input_grad[1:]
        streams = [_Given(group if want else ()) for group, want in zip(groups, wanted, strict=True)]
        grams = [given.gram(num_tasks, ctx.junction.workspace) for given in streams if given.tasks]
        if not grams:
            return (None,) * len(ctx.needs_input_grad)
        weights = ctx.junction._solve(torch.stack(grams).sum(dim=0))
        return (None, *(given.combined(weights) if given.tasks else None for given in streams))


class _Given:
    """One stream's gradients that are not missing, and which tasks they belong to."""

    def __init__(self, gradients: Sequence[Tensor | None]) -> None:
        self.tasks = [task for task, gradient in enumerate(gradients) if gradient is not None]
        self.gradients = [gradient for gradient in gradients if gradient is not None]

    def gram(self, num_tasks: int, workspace: Workspace) -> Float[Tensor, "K K"]:
        """The Gram of all tasks, zero where this stream has no gradient."""
        gram = gram_matrix(self.gradients, workspace).cpu()
        if len(self.tasks) == num_tasks:
            return gram
        full = torch.zeros(num_tasks, num_tasks, dtype=torch.float64)
        index = torch.tensor(self.tasks)
        full[index[:, None], index] = gram
        return full

    def combined(self, weights: Sequence[float]) -> Tensor:
        """The gradients weighted and added."""
        return weighted_sum(self.gradients, [weights[task] for task in self.tasks])


def _times(term: Tensor, priority: float) -> Tensor:
    return term if priority == 1 else term * priority


def _distinct(tasks: Sequence[str]) -> tuple[str, ...]:
    twice = [task for task, count in Counter(tasks).items() if count > 1]
    if twice or not tasks:
        raise SpecError(f"a junction needs tasks with different names, found {list(tasks)}")
    return tuple(sorted(tasks))


def _values(losses: Mapping[str, Tensor]) -> list[tuple[str, float]]:
    return [(task, float(loss.detach())) for task, loss in losses.items()]
