"""The shortest combination of tracked gradients, approached step by step."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.balance.base import Balancer, GradientSpec, Needs
from motet.balance.gram import gram_matrix
from motet.balance.numbers import Numbers
from motet.balance.vectors import Vectors

Array = npt.NDArray[np.float64]


class MoCo(GradientSpec):
    """Gradient correction: as MGDA, but with gradients averaged over steps, which corrects the bias of small batches.

    >>> MoCo().build(["price", "sold"]).rho
    0.0
    """

    kind: Literal["moco"] = "moco"
    paper: ClassVar[str] = (
        "Fernando et al., Mitigating Gradient Bias in Multi-objective Learning: A Provably Convergent Approach, "
        "ICLR 2023"
    )
    needs: ClassVar[Needs] = "rows"
    beta: float = Field(default=0.5, gt=0, le=1, description="Step size of the tracked gradients.")
    gamma: float = Field(default=0.1, gt=0, description="Step size of the weights.")
    decay: float = Field(default=0.5, ge=0, description="Both step sizes are divided by `t^decay` in step t.")
    rho: float = Field(default=0.0, ge=0, description="How strongly the weights are drawn to be equal.")

    def module(self, tasks: Sequence[str], *, seed: int) -> "MoCoBalancer":
        """One tracked gradient and one weight for each task."""
        return MoCoBalancer(tasks, beta=self.beta, gamma=self.gamma, decay=self.decay, rho=self.rho)


class MoCoBalancer(Balancer):
    """`sum_k w_k y_k`, with `y_k <- y_k - b (y_k - g_k)`, 0 at first, and then `w <- P(w - c (Y Y^T + rho I) w)`, all
    alike at first. P is the projection on the simplex; `b = beta / t^decay`, `c = gamma / t^decay`.

    Fernando et al., ICLR 2023, algorithm 1. Step sizes are the defaults of the code they shared for LibMTL. Heads keep
    their own gradient. With `at: parameters` the tracked gradients stand for the gradients, as in the paper. The unit
    of the losses matters: w moves by the square of the gradients' lengths.

    Deviations: at the layer y_k is that of the gradient of a gain and a bias, and its weight is given to the gradient
    of the step. Part of the authors' code takes a softmax in place of the projection and first makes each gradient as
    long as its loss is large; this is the paper's rule. A task that is absent keeps y_k and w_k; the others share the
    rest, and each is weighed by its part of it. For b, t counts the steps in which the task was there.

    >>> balancer = MoCoBalancer(["a", "b"], beta=1.0, gamma=0.1, decay=0.0)
    >>> weights, tracked = balancer.combine_rows(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), ["a", "b"])
    >>> [round(weight, 6) for weight in weights.tolist()]  # (.5 - .1 * 4 * .5, .5 - .1 * .5) and what lacks to 1
    [0.425, 0.575]
    """

    needs = "rows"
    unit_matters = True

    def __init__(
        self, tasks: Sequence[str], *, beta: float = 0.5, gamma: float = 0.1, decay: float = 0.5, rho: float = 0.0
    ) -> None:
        super().__init__()
        self.beta, self.gamma, self.decay, self.rho = beta, gamma, decay, rho
        self.tracked = Vectors(tasks)
        self.shares = Numbers(tasks, start=(1 / len(tasks), 0.0))  # the weight, steps
        self.num_solves: Tensor
        self.register_buffer("num_solves", torch.zeros((), dtype=torch.int64))

    def combine_rows(
        self, rows: Float[Tensor, "K N"], tasks: Sequence[str]
    ) -> tuple[Float[Tensor, "K"], Float[Tensor, "K N"] | None]:
        """The weights of the tracked gradients, and these."""
        self.num_solves.add_(1)
        step = self.gamma / int(self.num_solves) ** self.decay
        known = self.shares.lists()
        pairs = list(zip(tasks, rows, strict=True))
        counts = [known[task][1] + 1 if self.tracked.fits(task, row) else 1.0 for task, row in pairs]
        rates = [self.beta / count**self.decay for count in counts]
        tracked = [self.tracked.beside(*pair).lerp_(pair[1], rate) for pair, rate in zip(pairs, rates, strict=True)]
        gram = gram_matrix(tracked).cpu().numpy()
        shares = np.array([known[task][0] for task in tasks])
        total = float(shares.sum())
        shares = shares / total if total > 0 else np.full(len(tasks), 1 / len(tasks))
        moved = _on_simplex(shares - step * (gram @ shares + self.rho * shares))
        self.shares.put(tasks, torch.from_numpy(np.stack([total * moved, counts], axis=1)))
        return torch.from_numpy(moved), torch.stack(tracked)


def _on_simplex(point: Array) -> Array:
    """The nearest point whose coordinates are at least 0 and add up to 1 (Held, Wolfe & Crowder, 1974)."""
    lowered = point - point.max()  # the answer is the same, and numbers near 1 keep their digits
    falling = np.sort(lowered)[::-1]
    levels = (np.cumsum(falling) - 1) / np.arange(1, len(point) + 1)
    return np.asarray(np.maximum(lowered - levels[falling > levels][-1], 0.0))
