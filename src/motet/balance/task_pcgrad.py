"""Each gradient without the part of it that goes against another."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from motet.balance.base import Balancer, GradientSpec
from motet.balance.orders import random_orders


class PCGrad(GradientSpec):
    """Gradient surgery: where two tasks conflict, each loses what goes against the other.

    >>> PCGrad().build(["price", "sold"])
    PCGradBalancer()
    """

    kind: Literal["pcgrad"] = "pcgrad"
    paper: ClassVar[str] = "Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020"

    def module(self, tasks: Sequence[str], *, seed: int) -> "PCGradBalancer":
        """The method knows its tasks by name, so any will do."""
        return PCGradBalancer(seed=seed)


class PCGradBalancer(Balancer):
    """`sum_i g_i'`, where g_i' starts as g_i and meets every other g_j in random order:
    `g_i' <- g_i' - min(0, g_i'.g_j) / |g_j|^2 g_j`.

    Yu, Kumar, Gupta, Levine, Hausman & Finn, NeurIPS 2020, algorithm 1. Each g_i' is a combination of the g_k, so the
    Gram matrix suffices. The g_j that is projected on is the original one; gradients that do not conflict stay as they
    are. The update is the sum, as in the paper, and heads keep their own gradient. The order in which task i meets the
    others is drawn for each i, as in the paper's algorithm (in the authors' code it is the same for all); it is a
    function of the seed, of how many solves there were and of the task's name. At the features this is the
    surgery of the gradients of z; the paper's are those of all shared parameters (`at: parameters`).

    >>> gram = torch.tensor([[1.0, -1.0], [-1.0, 2.0]], dtype=torch.float64)
    >>> PCGradBalancer().combine(gram, ["a", "b"]).tolist()
    [2.0, 1.5]
    """

    needs = "gram"

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self.num_solves: Tensor
        self.register_buffer("num_solves", torch.zeros((), dtype=torch.int64))

    def combine(self, gram: Float[Tensor, "K K"], tasks: Sequence[str]) -> Float[Tensor, "K"]:
        """How often each gradient is in the sum of the projected ones."""
        orders = random_orders(tasks, self.seed, "pcgrad", int(self.num_solves))
        self.num_solves.add_(1)
        return torch.from_numpy(_projected(gram.numpy(), orders).sum(axis=0))


def _projected(gram: npt.NDArray[np.float64], orders: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """`[K, K]`: row i holds the coefficients of g_i'. All rows take their next step together: none looks at another."""
    own, coefficients = np.arange(len(gram)), np.eye(len(gram))
    squares = np.where(np.diag(gram) > 0, np.diag(gram), np.inf)
    for met in orders.T:
        slopes = np.einsum("ik,ik->i", coefficients, gram[met])
        coefficients[own, met] = -np.minimum(slopes, 0.0) / squares[met]
    return coefficients
