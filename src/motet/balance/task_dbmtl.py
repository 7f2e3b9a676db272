"""Logarithms of the losses, and averaged gradients made as long as the longest."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.balance.base import Balancer, GradientSpec, Needs
from motet.balance.logarithm import logarithm
from motet.balance.numbers import Numbers
from motet.balance.vectors import Vectors

SHORTEST = 1e-8
"""An average counts as at least this long, as a part of the longest."""


class DBMTL(GradientSpec):
    """Dual balancing: every task learns from the logarithm of its loss, with a gradient as long as the longest.

    >>> DBMTL().build(["price", "sold"]).beta
    0.9
    """

    kind: Literal["dbmtl"] = "dbmtl"
    paper: ClassVar[str] = "Lin et al., Dual-Balancing for Multi-Task Learning, 2023 (arXiv:2308.12029)"
    needs: ClassVar[Needs] = "rows"
    beta: float = Field(default=0.9, ge=0, lt=1, description="How much of a gradient's average is kept in each step.")
    decay: float = Field(default=0.0, ge=0, description="Less is kept with time: `beta / t^decay` in step t; 0: beta.")

    def module(self, tasks: Sequence[str], *, seed: int) -> "DBMTLBalancer":
        """One average for each task."""
        return DBMTLBalancer(tasks, beta=self.beta, decay=self.decay)


class DBMTLBalancer(Balancer):
    """`sum_k w_k a_k` with `w_k = max_j |a_j| / |a_k|`, a_k being the average of the gradients of `log(L_k + 1e-8)`:
    `a_k <- b a_k + (1 - b) g_k`, 0 at first, `b = beta / t^decay`.

    Lin et al., 2023, algorithm 1; beta 0.9 is the default of their code (LibMTL), the decay is one of those they tried.
    Heads learn from the logarithms too. With `at: parameters` the averages stand for the gradients, as in the paper.

    Deviations: at the layer the average is that of the gradient of a gain and a bias, and its weight is given to the
    gradient of the step, so lengths are balanced but the update is not averaged. A task that is absent keeps its
    average, and t counts the steps in which it was there; an average that began later lacks more of its length, because
    it began at 0, so lengths are compared as if none lacked any. For tasks that are always there this is the paper's
    rule. For losses below zero, of which the paper has none, the logarithm goes on with the slope `1 / (|L_k| + 1e-8)`
    (`logarithm`); a loss that crosses zero has a large slope there, felt until the average has forgotten it.

    >>> balancer = DBMTLBalancer(["a", "b"], beta=0.5)
    >>> weights, averages = balancer.combine_rows(torch.tensor([[4.0, 0.0], [0.0, 1.0]]), ["a", "b"])
    >>> weights.tolist(), averages.tolist()
    ([1.0, 4.0], [[2.0, 0.0], [0.0, 0.5]])
    """

    needs = "rows"

    def __init__(self, tasks: Sequence[str], *, beta: float = 0.9, decay: float = 0.0) -> None:
        super().__init__()
        self.beta, self.decay = beta, decay
        self.averages = Vectors(tasks)
        self.history = Numbers(tasks, start=(0.0, 1.0))  # steps, how much of the average is still its beginning

    def weigh(self, losses: Mapping[str, Float[Tensor, ""]]) -> dict[str, Float[Tensor, ""]]:
        """The logarithm of each loss."""
        return {task: logarithm(loss) for task, loss in losses.items()}

    def combine_rows(
        self, rows: Float[Tensor, "K N"], tasks: Sequence[str]
    ) -> tuple[Float[Tensor, "K"], Float[Tensor, "K N"] | None]:
        """The weights of the averages, and the averages."""
        known = self.history.lists()
        taken = [self._take_in(task, row, known[task]) for task, row in zip(tasks, rows, strict=True)]
        averages = torch.stack([average for average, _ in taken])
        history = torch.tensor([counts for _, counts in taken], dtype=torch.float64)
        self.history.put(tasks, history)
        filled = 1 - history[:, 1].to(rows.device)
        lengths = torch.linalg.vector_norm(averages, dim=1, dtype=torch.float64) / filled
        longest = lengths.max()
        weights = longest / lengths.clamp(min=max(SHORTEST * float(longest), torch.finfo(torch.float64).tiny))
        return weights, averages * (filled.max() / filled).to(averages)[:, None]

    def _take_in(
        self, task: str, row: Float[Tensor, "N"], history: Sequence[float]
    ) -> tuple[Float[Tensor, "N"], tuple[float, float]]:
        """The average with this gradient in it; its steps, and how much of it is still its beginning."""
        steps, rest = history if self.averages.fits(task, row) else (0.0, 1.0)
        kept = self.beta / (steps + 1) ** self.decay
        return self.averages.beside(task, row).lerp_(row, 1 - kept), (steps + 1, rest * kept)
