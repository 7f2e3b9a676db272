"""Weights by how much each task has in common with the others."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.balance.base import Balancer, GradientSpec
from motet.balance.known import check_known
from motet.balance.pairs import Pairs
from motet.core.errors import SpecError

Matrix = Mapping[str, Mapping[str, float]]
Array = npt.NDArray[np.float64]


class Relation(GradientSpec):
    """A task that has more in common with the others counts more, by your matrix or by the cosines of gradients.

    >>> Relation(matrix={"a": {"b": 1.0}}, temperature=0.5).build(["a", "b", "c"]).weights()["c"] < 1
    True
    """

    kind: Literal["relation"] = "relation"
    paper: ClassVar[str] = "ours; near Du et al., Adapting Auxiliary Losses Using Gradient Similarity, 2018"
    matrix: dict[str, dict[str, Annotated[float, Field(ge=-1, le=1)]]] | None = Field(
        default=None,
        description="How much two tasks have in common, from -1 to 1: {a: {b: 0.5}}, each pair once or twice alike; 0 "
        "for a pair that is not named. Left out, it is measured while training.",
    )
    temperature: float = Field(default=1.0, gt=0, description="The higher, the more alike the weights are.")
    momentum: float = Field(
        default=0.99, ge=0, lt=1, description="How much of the running mean of a cosine is kept in each batch."
    )

    def module(self, tasks: Sequence[str], *, seed: int) -> "RelationBalancer":
        """Refuses a matrix of tasks that do not exist, or that says two things of one pair."""
        return RelationBalancer(
            tasks,
            matrix=None if self.matrix is None else _checked(self.matrix, tasks),
            temperature=self.temperature,
            momentum=self.momentum,
        )


class RelationBalancer(Balancer):
    """`w_k = K e^{m_k / T} / sum_j e^{m_j / T}` with `m_k = mean_{j != k} R_kj`, R_kj how much k and j have in common.

    R is the user's matrix, or measured: the running mean over batches of the cosine of the tasks' gradients, the plain
    mean of the first `1 / (1 - momentum)` batches in which both are there, and from then on
    `R <- momentum R + (1 - momentum) cos(g_k, g_j)`. A pair not seen yet has 0, a pair of which one is absent keeps its
    own. The weights add up to K, the number of all tasks, whichever are there; two tasks have one
    relation, and so weight 1 each.

    That softmax of row means is our own way from a matrix to weights: a task that goes against the others is heard less
    at what is shared. Near it are Du et al., 2018, who take or leave an auxiliary task by the sign of its cosine with
    the main one; Wang et al., ICLR 2021, who keep a running cosine for each pair; and Fifty et al., NeurIPS 2021, who
    choose groups of tasks by a measured affinity. The weights apply at the junction, those of a matrix too, and heads
    keep their own gradient. At the features, cosines are 0 where tasks have labels in different rows.

    >>> balancer = RelationBalancer(["a", "b", "c"], matrix={"a": {"b": 1.0}})
    >>> {task: round(weight, 4) for task, weight in balancer.weights().items()}
    {'a': 1.151, 'b': 1.151, 'c': 0.6981}
    """

    needs = "gram"

    def __init__(
        self,
        tasks: Sequence[str],
        *,
        matrix: Matrix | None = None,
        temperature: float = 1.0,
        momentum: float = 0.99,
    ) -> None:
        super().__init__()
        self.tasks = sorted(tasks)
        self.temperature, self.momentum = temperature, momentum
        self.given = None if matrix is None else _filled(matrix, self.tasks)
        if matrix is None:
            self.cosines = Pairs(tasks)
            """Of each pair the running mean of its cosine."""
            self.counts = Pairs(tasks)
            """In how many batches it was measured."""

    def weights(self) -> dict[str, float]:
        """The weight of every task, with the relations as they are now."""
        num_tasks = len(self.tasks)
        relations = self.cosines.read(self.tasks) if self.given is None else self.given
        scores = relations.sum(axis=1) / max(1, num_tasks - 1) / self.temperature
        powers = np.exp(scores - scores.max())
        return dict(zip(self.tasks, (num_tasks * (powers / powers.sum())).tolist(), strict=True))

    def combine(self, gram: Float[Tensor, "K K"], tasks: Sequence[str]) -> Float[Tensor, "K"]:
        """The weights of these tasks, after their cosines have been taken in."""
        if self.given is None and len(tasks) > 1:
            self._measure(gram.numpy(), tasks)
        weights = self.weights()
        return torch.tensor([weights[task] for task in tasks], dtype=torch.float64)

    def _measure(self, gram: Array, tasks: Sequence[str]) -> None:
        lengths, apart = np.sqrt(np.diag(gram)), 1 - np.eye(len(tasks))
        found = np.clip(gram / lengths / lengths[:, None], -1, 1)
        means, counts = self.cosines.read(tasks), self.counts.read(tasks)
        rates = np.maximum(1 / (counts + 1), 1 - self.momentum)
        self.cosines.write(tasks, means + apart * rates * ((found + found.T) / 2 - means))
        self.counts.write(tasks, counts + apart)


def _filled(matrix: Matrix, tasks: Sequence[str]) -> Array:
    """`[K, K]`: 0 for a pair that is not named, and for a task with itself."""
    return np.array([[_either(matrix, one, other) if one != other else 0.0 for other in tasks] for one in tasks])


def _either(matrix: Matrix, one: str, other: str) -> float:
    return matrix.get(one, {}).get(other, matrix.get(other, {}).get(one, 0.0))


def _checked(matrix: Matrix, tasks: Sequence[str]) -> Matrix:
    """The matrix itself, if it speaks of pairs of these tasks and is symmetric where it names a pair twice."""
    for one, row in matrix.items():
        check_known([one, *row], tasks, field="matrix")
        for other, relation in row.items():
            if one == other:
                raise SpecError(f"balance.tasks.matrix: {one!r} is named with itself; name pairs of different tasks")
            again = matrix.get(other, {}).get(one, relation)
            if not math.isclose(again, relation):
                raise SpecError(
                    f"balance.tasks.matrix: {one!r} and {other!r} have {relation:g} in common, and the other way round "
                    f"{again:g}; a relation is symmetric, so name it once, or twice alike"
                )
    return matrix
