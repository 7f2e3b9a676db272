"""The common descent direction of least norm."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.balance.base import Balancer, BalancerSpec
from motet.balance.simplex import min_norm_weights

Scale = Literal["convex", "count", "norm"]


class MGDA(BalancerSpec):
    """Multiple gradient descent: the shortest convex combination of the tasks' gradients, which descends for all.

    >>> MGDA().build(["price", "sold"])
    MGDABalancer()
    """

    kind: Literal["mgda"] = "mgda"
    paper: ClassVar[str] = "Sener & Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018"
    scale: Scale = Field(
        default="count",
        description="Size of the update. count: weights add up to the number of tasks, so that equal weights are the "
        "plain sum; convex: to one, as in the paper; norm: the update is as long as the plain sum.",
    )
    normalize: Literal["none", "l2"] = Field(
        default="none",
        description="l2: solve for gradients of unit length, so that short gradients do not take all weight.",
    )

    def build(self, tasks: Sequence[str]) -> "MGDABalancer":
        """The method has no state: any tasks will do."""
        return MGDABalancer(scale=self.scale, normalize=self.normalize)


class MGDABalancer(Balancer):
    """`w = argmin_{w in simplex} |sum_k w_k g_k|^2 = argmin w^T G w`.

    Sener & Koltun, NeurIPS 2018; at the junction this is their MGDA-UB, the upper bound in feature space. Heads keep
    their own gradient, as there. Deviations: the programme is solved exactly, not by Frank-Wolfe (`simplex.py`); by
    default the weights are multiplied by the number of tasks (`scale`). With "l2" the weights are those of `g_k/|g_k|`
    and are applied to the g_k themselves, as in the authors' code. A task alone has weight 1.

    >>> gram = torch.tensor([[4.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    >>> [round(w, 6) for w in MGDABalancer(scale="convex").combine(gram, ["a", "b"]).tolist()]
    [0.2, 0.8]
    """

    uses_gradients = True

    def __init__(self, *, scale: Scale = "count", normalize: Literal["none", "l2"] = "none") -> None:
        super().__init__()
        self.scale = scale
        self.normalize = normalize

    def weigh(self, losses: Mapping[str, Float[Tensor, ""]]) -> dict[str, Float[Tensor, ""]]:
        """The losses as they are."""
        return dict(losses)

    def combine(self, gram: Float[Tensor, "K K"], tasks: Sequence[str]) -> Float[Tensor, "K"]:
        """The weights of the shortest convex combination, scaled."""
        lengths = gram.diagonal().sqrt()
        compared = gram / torch.outer(lengths, lengths) if self.normalize == "l2" else gram
        weights = torch.from_numpy(min_norm_weights(compared.numpy()))
        return weights * self._factor(weights, gram)

    def after_step(self, losses: Mapping[str, float]) -> None:
        """Nothing is kept."""

    def epoch_end(self, losses: Mapping[str, float]) -> None:
        """Nothing is kept."""

    def _factor(self, weights: Float[Tensor, "K"], gram: Float[Tensor, "K K"]) -> float:
        if self.scale == "convex":
            return 1.0
        if self.scale == "count":
            return float(len(weights))
        length, wanted = float(weights @ gram @ weights), float(gram.sum())
        return (wanted / length) ** 0.5 if length > 0 and wanted > 0 else 1.0
