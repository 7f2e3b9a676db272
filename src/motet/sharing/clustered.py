"""Clustered tasks: layers near a few centres, which tasks belong together being learned."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal, Self

import torch
from jaxtyping import Float, Int64
from pydantic import Field, model_validator
from torch import Tensor

from motet.sharing.base import Sharing
from motet.sharing.biases import bias_penalty
from motet.sharing.bytask import StackedLinear
from motet.sharing.covariance import TaskCovariance
from motet.sharing.trunk import Trunk, TrunkSpec

MOST_TURNS = 100


class Clustered(TrunkSpec):
    """A layer per task behind a trunk, drawn to as many centres as there are clusters of tasks.

    >>> Clustered(branch=16, clusters=3).build(8, tasks=["price", "sold"]).output_width
    16
    """

    kind: Literal["clustered"] = "clustered"
    paper: ClassVar[str] = "Jacob et al., Clustered Multi-Task Learning: A Convex Formulation, NeurIPS 2008"
    branch: int = Field(default=64, gt=0, description="Width of each task's own layer.")
    clusters: int = Field(default=2, ge=1, description="Into how many groups the tasks fall.")
    mean: float = Field(default=1e-4, ge=0, description="Weight of the squared size of the mean of all tasks' layers.")
    between: float = Field(
        default=0.1, gt=0, description="Weight of the squared distance of the clusters' centres from that mean."
    )
    within: float = Field(
        default=1.0, gt=0, description="Weight of the squared distance of tasks from their cluster's centre."
    )
    bias: float = Field(
        default=0.0,
        ge=0,
        description="Weight of the squared distance of the tasks' biases from their mean; 0: biases are free.",
    )
    every: int = Field(default=10, ge=1, description="Find the clusters anew every so many batches.")

    @model_validator(mode="after")
    def _clusters_hold_together(self) -> Self:
        if self.within < self.between:
            raise ValueError(
                f"`within` ({self.within:g}) is less than `between` ({self.between:g}): clusters would not form"
            )
        return self

    def build(self, input_width: int, *, tasks: Sequence[str]) -> "ClusteredSharing":
        """A trunk, and a layer for each of the tasks."""
        return ClusteredSharing(
            input_width,
            tasks=tasks,
            width=self.width,
            layers=self.layers,
            dropout=self.dropout,
            branch=self.branch,
            clusters=self.clusters,
            mean=self.mean,
            between=self.between,
            within=self.within,
            bias=self.bias,
            every=self.every,
        )


class ClusteredSharing(Sharing):
    """`y_k = W_k z + b_k` on the trunk's output z; `Omega(W) = mean K |w|^2 + min_S tr(V S^-1 V^T)`.

    W `[branch H, K]` has a column per task, w is their mean, V is W with w taken off each column. S ranges over the
    symmetric matrices with eigenvalues between `1/within` and `1/between` and the trace `(K - r + 1)/within +
    (r - 1)/between`, r the number of clusters (at most K). This is the convex relaxation of
    `mean K |w|^2 + between sum_c K_c |w_c - w|^2 + within sum_c sum_{k in c} |W_k - w_c|^2`
    over all ways to part the tasks into r clusters c of K_c tasks with centres w_c; the two are equal where the tasks
    sit on r centres. S has the eigenvectors of `V^T V`, and its eigenvalues are
    `n s_i` cut off at the bounds, s_i the singular values of V, n such that the trace is right.

    Jacob, Bach & Vert, NeurIPS 2008. Zhou, Chen & Ye, NeurIPS 2011, relax the same sum for `mean = between` without
    setting w apart, and show that this is alternating structure optimisation, relaxed. Deviations: weights and S are
    learned by turns, S anew after every `every` batches of training, where the paper follows the gradient of the
    minimum; the tasks' layers stand before heads that may be of any kind; they have biases, which the paper has not,
    and `bias sum_k |b_k - mean b|^2` can be added.

    >>> import torch
    >>> sharing = ClusteredSharing(16, tasks=("price", "sold"), branch=4)
    >>> z = sharing.trunk(torch.zeros(2, 16))
    >>> sharing.branch({"price": z})["price"].shape, list(sharing.penalties())
    (torch.Size([2, 4]), ['mean', 'clusters'])
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
        clusters: int = 2,
        mean: float = 1e-4,
        between: float = 0.1,
        within: float = 1.0,
        bias: float = 0.0,
        every: int = 10,
    ) -> None:
        super().__init__()
        self.output_width = branch
        self.tasks = tuple(sorted(tasks))
        self.clusters = min(clusters, len(self.tasks))
        self.mean, self.bias_weight = mean, bias
        self.shared = Trunk(input_width, width=width, layers=layers, dropout=dropout)
        self.layers = StackedLinear(self.shared.output_width, branch, tasks=self.tasks)
        self.covariance = TaskCovariance(
            self.tasks,
            shape=(branch, self.shared.output_width),
            spectrum=partial(_bounded, low=1 / within, high=1 / between, num_high=self.clusters - 1),
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
        """`mean` and `clusters`; `bias` where it has a weight."""
        weights = self.layers.weight()
        center = weights.mean(dim=0)
        return {
            "mean": self.mean * len(self.tasks) * center.square().sum(),
            "clusters": self.covariance(weights - center),
            **bias_penalty(self.layers.bias(), self.bias_weight),
        }

    def refresh(self) -> None:
        """Find the clusters for the weights as they are."""
        weights = self.layers.weight()
        self.covariance.refresh(weights - weights.mean(dim=0))

    def groups(self) -> dict[str, int]:
        """The cluster of each task, by k-means of the weights as they are; counted as they first appear by name."""
        found = _k_means(self.layers.weight().detach().flatten(1).double(), self.clusters).tolist()
        number = {cluster: index for index, cluster in enumerate(dict.fromkeys(found))}
        return {task: number[cluster] for task, cluster in zip(self.tasks, found, strict=True)}


def _bounded(squares: Float[Tensor, "K"], *, low: float, high: float, num_high: int) -> Float[Tensor, "K"]:
    """`n s_i` cut off at the bounds, n such that the sum is as if `num_high` were high and all others low.

    The sum rises with n by straight lines between the points where an eigenvalue meets a bound. Singular values of 0
    are taken as equal and tiny, so that they share what the others leave.
    """
    wanted = num_high * high + (len(squares) - num_high) * low
    singular = squares.sqrt()
    singular = singular + (1e-9 * singular.max() if bool(singular.any()) else 1.0)
    corners = torch.cat([low / singular, high / singular]).sort().values
    sums = (corners[:, None] * singular).clamp(low, high).sum(dim=1)
    after = int((sums < wanted).sum().clamp(1, len(sums) - 1))
    rise = sums[after] - sums[after - 1]
    part = ((wanted - sums[after - 1]) / rise).clamp(0, 1) if rise > 0 else torch.zeros_like(rise)
    return (torch.lerp(corners[after - 1], corners[after], part) * singular).clamp(low, high)


def _k_means(rows: Float[Tensor, "K P"], num_clusters: int) -> Int64[Tensor, "K"]:
    """Lloyd's algorithm; each first centre is the row farthest from those before it, the first from the mean."""
    distances = (rows - rows.mean(dim=0)).square().sum(dim=1)
    centers = rows[distances.argmax()][None]
    while len(centers) < num_clusters:
        centers = torch.cat([centers, rows[torch.cdist(rows, centers).amin(dim=1).argmax()][None]])
    nearest = torch.cdist(rows, centers).argmin(dim=1)
    for _ in range(MOST_TURNS):
        means = [
            rows[nearest == c].mean(dim=0) if bool((nearest == c).any()) else centers[c] for c in range(num_clusters)
        ]
        centers, before = torch.stack(means), nearest
        nearest = torch.cdist(rows, centers).argmin(dim=1)
        if torch.equal(nearest, before):
            break
    return nearest
