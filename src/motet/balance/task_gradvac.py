"""Gradients turned towards each other as far as they usually agree."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.balance.base import Balancer, GradientSpec
from motet.balance.orders import random_orders
from motet.balance.pairs import Pairs
from motet.balance.quadratic import unit_diagonal

Array = npt.NDArray[np.float64]

MOST_AGREEMENT = 1 - 1e-6
"""The highest cosine a gradient is turned to: towards 1 the turn would take ever more of the other gradient."""
NOTHING_LEFT = 1e-12
"""A combination of gradients whose square is this small beside that of its parts is zero but for rounding."""
ON_A_LINE = 4e-15
"""So is what of it lies across another gradient, of which a turn takes up to 700 times the length."""


class GradVac(GradientSpec):
    """Gradient vaccine: two tasks that agree less than they usually do are turned towards each other.

    >>> GradVac().build(["price", "sold"]).beta
    0.01
    """

    kind: Literal["gradvac"] = "gradvac"
    paper: ClassVar[str] = (
        "Wang et al., Gradient Vaccine: Investigating and Improving Multi-task Optimization in Massively Multilingual "
        "Models, ICLR 2021"
    )
    beta: float = Field(default=0.01, gt=0, le=1, description="How fast the usual agreement of two tasks is learned.")

    def module(self, tasks: Sequence[str], *, seed: int) -> "GradVacBalancer":
        """One usual cosine for each ordered pair of tasks."""
        return GradVacBalancer(tasks, beta=self.beta, seed=seed)


class GradVacBalancer(Balancer):
    """`sum_i g_i'`, where g_i' starts as g_i and meets every other g_j in random order. With c the cosine of g_i' and
    g_j, and t its usual value: if `c < t`, `g_i' <- g_i' + |g_i'| (t sqrt(1-c^2) - c sqrt(1-t^2)) / (|g_j| sqrt(1-t^2))
    g_j`, which makes the cosine t; then `t <- (1 - beta) t + beta c`, with t = 0 at first.

    Wang, Tsvetkov, Firat & Cao, ICLR 2021, algorithm 1, with the whole gradient as the one unit of comparison; with
    t = 0 kept it is PCGrad. The update is the sum, as there, and heads keep their own gradient. The order of meeting is
    a function of the seed, of how many solves there were and of the task's name. A pair of which one is absent keeps
    its t. Deviations: t counts as at most `1 - 1e-6`, because towards 1 the turn grows without bound; where g_i' has
    come to nothing, c is 0.

    >>> gram = torch.tensor([[1.0, -1.0], [-1.0, 2.0]], dtype=torch.float64)
    >>> balancer = GradVacBalancer(["a", "b"], beta=0.5)
    >>> [round(weight, 6) for weight in balancer.combine(gram, ["a", "b"]).tolist()]
    [2.0, 1.5]
    >>> round(balancer.usual.of("a", "b"), 4)  # half the cosine, -1 / sqrt(2)
    -0.3536
    """

    needs = "gram"

    def __init__(self, tasks: Sequence[str], *, beta: float = 0.01, seed: int = 0) -> None:
        super().__init__()
        self.beta, self.seed = beta, seed
        self.usual = Pairs(tasks)
        self.num_solves: Tensor
        self.register_buffer("num_solves", torch.zeros((), dtype=torch.int64))

    def combine(self, gram: Float[Tensor, "K K"], tasks: Sequence[str]) -> Float[Tensor, "K"]:
        """How often each gradient is in the sum of the turned ones; learns the cosines it meets."""
        orders = random_orders(tasks, self.seed, "gradvac", int(self.num_solves))
        self.num_solves.add_(1)
        usual = self.usual.read(tasks)
        turned = _turned(gram.numpy(), orders, usual, beta=self.beta)
        self.usual.write(tasks, usual)
        return torch.from_numpy(turned.sum(axis=0))


def _turned(gram: Array, orders: npt.NDArray[np.int64], usual: Array, *, beta: float) -> Array:
    """`[K, K]`: row i holds the coefficients of g_i'; `usual` is brought up to date in place.

    All rows take their next turn together: none looks at another. Gradients are made unit vectors first. With p the
    product of g_i' and a unit vector u, and s the square of g_i', a turn adds `a = t / sqrt(1-t^2) sqrt(s-p^2) - p`
    times u, which is above 0 where `p < t sqrt(s)`; then the square is `s + a (2 p + a)`.
    """
    cosines, lengths = unit_diagonal(gram)
    own, coefficients = np.arange(len(gram)), np.eye(len(gram))
    square, parts = np.diag(cosines).copy(), np.ones(len(gram))
    former = np.take_along_axis(usual, orders, axis=1)  # by turn, as what is made of it
    targets = np.where(np.diag(cosines)[orders] > 0, np.minimum(former, MOST_AGREEMENT), 0.0)
    slopes = targets / np.sqrt(np.maximum(1 - targets**2, np.finfo(np.float64).tiny))
    above = targets > -1  # no cosine is below -1
    products, squares = np.empty_like(targets), np.empty_like(targets)
    for turn, met in enumerate(orders.T):
        alive = square > NOTHING_LEFT * parts * parts
        square = square * alive
        product = np.einsum("ik,ik->i", coefficients, cosines[met]) * alive
        across = square - product * product
        across = np.sqrt(across * (across > ON_A_LINE * parts * parts))
        added = np.maximum(slopes[:, turn] * across - product * above[:, turn], 0.0)
        products[:, turn], squares[:, turn] = product, square
        coefficients[own, met] = added
        square = square + added * (2 * product + added)
        parts += added
    found = np.clip(products / np.sqrt(np.where(squares > 0, squares, np.inf)), -1.0, 1.0)
    np.put_along_axis(usual, orders, former + beta * (found - former), axis=1)
    return coefficients * lengths[:, None] / lengths
