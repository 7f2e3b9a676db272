"""Task weights that grow with how far each task is from the best it can reach."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.balance.base import Balancer, GradientSpec, Heads, Needs
from motet.balance.numbers import Numbers
from motet.balance.vectors import Vectors

EPSILON = 1e-7


class Excess(GradientSpec):
    """Excess risks: a task far from its optimum counts more, one with noisy labels does not.

    >>> Excess().build(["price", "sold"]).step_size
    0.01
    """

    kind: Literal["excess"] = "excess"
    paper: ClassVar[str] = "He et al., Robust Multi-Task Learning with Excess Risks, ICML 2024"
    needs: ClassVar[Needs] = "rows"
    step_size: float = Field(default=0.01, gt=0, description="How fast the weights follow the excess risks.")
    heads: Heads = Field(
        default="weighted",
        description="raw: each head learns from its own loss; weighted: from its loss times the weight of the step "
        "before, as in the paper.",
    )

    def module(self, tasks: Sequence[str], *, seed: int) -> "ExcessBalancer":
        """One weight for each task, and the squares of its gradients."""
        return ExcessBalancer(tasks, step_size=self.step_size)


class ExcessBalancer(Balancer):
    """`sum_k w_k g_k`, with `w_k <- w_k exp(step_size E_k / E_k(0))`, rescaled to add up to the number of tasks, 1 at
    first. E_k estimates the excess risk, the loss above the lowest there is: `E_k = g_k^T H_k^{-1} g_k`. H_k is
    diagonal, `sqrt(s_k + 1e-7)` with s_k the sum of all squared gradients so far, this one included.

    He et al., ICML 2024 (ExcessMTL), with the step size and the scale of the authors' code, in which the weights add up
    to the number of tasks, not to 1, and E_k(0) is that of the first gradient, not a mean over some warm-up. Heads are
    weighted as well. Deviations: the paper takes the gradient of all shared parameters (`at: parameters`); at the layer
    it is that of a gain and a bias. A task that is absent keeps its weight, and the others share theirs.

    >>> balancer = ExcessBalancer(["a", "b"], step_size=1.0)
    >>> _ = balancer.combine_rows(torch.tensor([[1.0], [1.0]]), ["a", "b"])
    >>> weights, _ = balancer.combine_rows(torch.tensor([[1.0], [0.0]]), ["a", "b"])
    >>> [round(weight, 2) for weight in weights.tolist()]  # E_a / E_a(0) is 1 / sqrt(2), that of b is 0
    [1.34, 0.66]
    """

    needs = "rows"

    def __init__(self, tasks: Sequence[str], *, step_size: float = 0.01) -> None:
        super().__init__()
        self.step_size = step_size
        self.squares = Vectors(tasks)
        self.risks = Numbers(tasks, start=(0.0, 0.0))  # the logarithm of the weight, E_k(0)

    def combine_rows(
        self, rows: Float[Tensor, "K N"], tasks: Sequence[str]
    ) -> tuple[Float[Tensor, "K"], Float[Tensor, "K N"] | None]:
        """The weights of the gradients themselves."""
        risks = self._risks(rows, tasks).to("cpu", torch.float64).clamp(min=torch.finfo(torch.float64).tiny)
        known = self.risks.lists()
        logs, firsts = torch.tensor([known[task] for task in tasks], dtype=torch.float64).unbind(dim=1)
        firsts = torch.where(firsts > 0, firsts, risks)
        moved = logs + self.step_size * risks / firsts
        moved -= moved.max()  # so that large numbers keep their digits
        moved += logs.logsumexp(dim=0) - moved.logsumexp(dim=0)
        self.risks.put(tasks, torch.stack([moved, firsts], dim=1))
        return moved.exp(), None

    def _risks(self, rows: Float[Tensor, "K N"], tasks: Sequence[str]) -> Float[Tensor, "K"]:
        """E_k of each task, with this gradient among the squares."""
        squares = rows**2
        sums = [self.squares.beside(task, square).add_(square) for task, square in zip(tasks, squares, strict=True)]
        return (squares / (torch.stack(sums) + EPSILON).sqrt()).sum(dim=1)
