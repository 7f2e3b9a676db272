"""A look at how the tasks' gradients relate, in some of the steps, beside whatever combines them.

K tasks that have a gradient.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from motet.balance.base import Place
from motet.balance.gram import gram_of_rows
from motet.balance.meeting import Meeting
from motet.core.together import Together


@dataclass(frozen=True, slots=True)
class Related:
    """What was seen in one batch: the tasks, their mean losses L_k, and `G_ij = <g_i, g_j>`, g_k the gradient of L_k.

    >>> seen = Related(("a", "b"), torch.tensor([[4.0, -1.0], [-1.0, 1.0]]).double(), (2.0, 0.5))
    >>> seen.cosines()
    [[1.0, -0.5], [-0.5, 1.0]]
    >>> seen.affinities(rate=0.1)  # the step on a takes -20 % off the loss of b
    [[0.2, -0.2], [-0.05, 0.2]]
    """

    tasks: tuple[str, ...]
    gram: Float[Tensor, "K K"]
    losses: tuple[float, ...]

    def cosines(self) -> list[list[float]]:
        """`G_ij / (|g_i| |g_j|)`."""
        lengths = self.gram.diagonal().sqrt()
        found: list[list[float]] = (self.gram / lengths / lengths[:, None]).clamp(-1, 1).tolist()
        return found

    def affinities(self, *, rate: float) -> list[list[float | None]]:
        """`rate G_ij / L_j` of task i onto task j; None where L_j is not positive."""
        rows: list[list[float]] = self.gram.tolist()
        return [[rate * g / loss if loss > 0 else None for g, loss in zip(r, self.losses, strict=True)] for r in rows]


class Watch:
    """Compares the gradients of the tasks' losses in the first batch of every n-th step, and keeps what it found.

    `every` is n, 0 for never; which steps are due depends on their number alone. `at` is where gradients are compared,
    as in `Placement`. At the parameters that costs a pass per task through what is shared. The gradients are those of
    the losses themselves: what a balancer makes of a loss before backward, priorities and lagged weights multiply a
    gradient on its way to the junction, and are divided out again. A task without a loss or without a gradient is left
    out; where anything is not finite nothing is found.

    >>> watch = Watch(every=20)
    >>> watch.begin(40)
    >>> watch.on, watch.found
    (True, None)
    """

    def __init__(self, *, every: int = 0, at: Place = "parameters") -> None:
        self.every, self.at = every, at
        self.on = False
        self.found: Related | None = None
        self._losses: dict[str, float] = {}
        self._slopes: dict[str, float] = {}

    def begin(self, step: int, *, first: bool = True) -> None:
        """A batch of this step begins, its first or a later one."""
        self.on = first and self.every > 0 and step % self.every == 0
        if first:
            self.found = None

    def told(self, losses: Mapping[str, Float[Tensor, ""]], total: Float[Tensor, ""]) -> None:
        """The losses of the batch, and what is differentiated in their place."""
        learned = {task: loss for task, loss in losses.items() if loss.requires_grad}
        self._losses, self._slopes = {}, {}
        if learned and self.on:
            slopes = torch.autograd.grad(total, list(learned.values()), retain_graph=True, materialize_grads=True)
            seen = torch.stack([torch.stack([loss.detach() for loss in learned.values()]), torch.stack(slopes)])
            self._losses, self._slopes = (dict(zip(learned, row, strict=True)) for row in seen.tolist())

    def look(self, meeting: Meeting, tasks: Sequence[str], *, together: Together) -> None:
        """Compare the gradients of this backward; every process finds the same."""
        gram = self._gram(meeting, together)
        live = [index for index, task in enumerate(tasks) if self._slopes.get(task) and gram[index, index] > 0]
        if not live or not bool(gram.isfinite().all()):
            return
        names = [tasks[index] for index in live]
        slopes = torch.tensor([self._slopes[name] for name in names], dtype=torch.float64)
        bare = gram[live][:, live] / slopes / slopes[:, None]
        self.found = Related(tuple(names), bare, tuple(self._losses[name] for name in names))

    def _gram(self, meeting: Meeting, together: Together) -> Float[Tensor, "K K"]:
        """With several processes of the summed gradients, which add up before they meet."""
        if together.several:
            return gram_of_rows(together.summed(meeting.rows(self.at))).cpu()
        return meeting.gram(self.at)
