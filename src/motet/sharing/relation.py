"""Task relations: a covariance between the tasks' layers, learned with them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.sharing.base import Sharing
from motet.sharing.biases import bias_penalty
from motet.sharing.bytask import StackedLinear
from motet.sharing.covariance import TaskCovariance
from motet.sharing.trunk import Trunk, TrunkSpec


class Relation(TrunkSpec):
    """A layer per task behind a trunk, and a covariance of the tasks learned with them: related tasks draw together.

    >>> Relation(branch=16).build(8, tasks=["price", "sold"]).output_width
    16
    """

    kind: Literal["relation"] = "relation"
    paper: ClassVar[str] = (
        "Zhang & Yeung, A Convex Formulation for Learning Task Relationships in Multi-Task Learning, UAI 2010"
    )
    branch: int = Field(default=64, gt=0, description="Width of each task's own layer.")
    strength: float = Field(default=1e-2, gt=0, description="Weight of the penalty that relates tasks.")
    norm: float = Field(default=1e-4, ge=0, description="Weight of the squared size of the tasks' layers.")
    bias: float = Field(
        default=0.0,
        ge=0,
        description="Weight of the squared distance of the tasks' biases from their mean; 0: biases are free.",
    )
    every: int = Field(default=10, ge=1, description="Find the covariance anew every so many batches.")
    ridge: float = Field(
        default=1e-3, gt=0, description="What keeps the covariance invertible; larger: relations are told less apart."
    )

    def build(self, input_width: int, *, tasks: Sequence[str]) -> "RelationSharing":
        """A trunk, and a layer for each of the tasks."""
        return RelationSharing(
            input_width,
            tasks=tasks,
            width=self.width,
            layers=self.layers,
            dropout=self.dropout,
            branch=self.branch,
            strength=self.strength,
            norm=self.norm,
            bias=self.bias,
            every=self.every,
            ridge=self.ridge,
        )


class RelationSharing(Sharing):
    """`y_k = W_k z + b_k` on the trunk's output z; `Omega(W) = strength tr(W Omega^-1 W^T) + norm |W|^2`.

    W `[branch H, K]` has a column per task, the entries of W_k one after the other. For given weights the covariance
    with trace 1 that makes the penalty least is `Omega = (W^T W)^(1/2) / tr (W^T W)^(1/2)`; the penalty is then the
    squared trace norm of W. Weights and Omega are learned by turns: Omega starts as I/K and is found anew after
    every `every` batches of training.

    Zhang & Yeung, UAI 2010, with `lambda_1 = 2 norm` and `lambda_2 = 2 strength`. Deviations: the weights take `every`
    steps of an optimiser between two covariances, where the paper solves for them; `W^T W + ridge I` in place of
    `W^T W` (as Argyriou et al., NeurIPS 2006, for their D), without which the inverse does not exist; the paper's W
    holds the last, one-dimensional layer of each task, ours a layer before heads that may be of any kind; the paper
    leaves b_k free, here `bias sum_k |b_k - mean b|^2` can be added.

    >>> import torch
    >>> sharing = RelationSharing(16, tasks=("price", "sold"), branch=4)
    >>> z = sharing.trunk(torch.zeros(2, 16))
    >>> sharing.branch({"price": z})["price"].shape, list(sharing.penalties())
    (torch.Size([2, 4]), ['relation', 'norm'])
    """

    def __init__(
        self,
        input_width: int,
        *,
        tasks: Sequence[str],
        width: int = 128,
        layers: int = 1,
        dropout: float = 0.0,
        branch: int = 64,
        strength: float = 1e-2,
        norm: float = 1e-4,
        bias: float = 0.0,
        every: int = 10,
        ridge: float = 1e-3,
    ) -> None:
        super().__init__()
        self.output_width = branch
        self.tasks = tuple(sorted(tasks))
        self.strength, self.norm, self.bias_weight = strength, norm, bias
        self.shared = Trunk(input_width, width=width, layers=layers, dropout=dropout)
        self.layers = StackedLinear(self.shared.output_width, branch, tasks=self.tasks)
        self.covariance = TaskCovariance(
            self.tasks,
            shape=(branch, self.shared.output_width),
            spectrum=partial(_root_of_trace_one, ridge=ridge),
            every=every,
        )

    def trunk(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B H"]:
        """The shared layers."""
        self.covariance.count()
        shared: Tensor = self.shared(features)
        return shared

    def branch(self, copies: Mapping[str, Float[Tensor, "B H"]]) -> dict[str, Float[Tensor, "B output_width"]]:
        """Each task's own layer."""
        features: dict[str, Tensor] = self.layers(copies)
        return features

    def penalties(self) -> dict[str, Float[Tensor, ""]]:
        """`relation` and `norm`; `bias` where it has a weight."""
        weights = self.layers.weight()
        return {
            "relation": self.strength * self.covariance(weights),
            "norm": self.norm * weights.square().sum(),
            **bias_penalty(self.layers.bias(), self.bias_weight),
        }

    def refresh(self) -> None:
        """Find the covariance for the weights as they are."""
        self.covariance.refresh(self.layers.weight())

    def correlations(self) -> Float[Tensor, "K K"]:
        """`Omega_ij / sqrt(Omega_ii Omega_jj)`, rows and columns in the order of `tasks`."""
        omega = self.covariance.matrix()
        size = omega.diagonal().sqrt()
        return omega / size / size[:, None]


def _root_of_trace_one(squares: Float[Tensor, "K"], *, ridge: float) -> Float[Tensor, "K"]:
    roots = (squares + ridge).sqrt()
    return roots / roots.sum()
