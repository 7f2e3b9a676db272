"""Adapters: hard sharing, and for each task a small update of its own, behind the trunk or inside it."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from motet.sharing.base import Sharing
from motet.sharing.bytask import stacked
from motet.sharing.lora import LoRASharing
from motet.sharing.trunk import Trunk, TrunkSpec
from motet.sharing.update import LowRankUpdate


class Adapter(TrunkSpec):
    """A trunk for all tasks, and for each a low-rank update of its own, which starts as nothing.

    >>> Adapter(width=32).build(16, tasks=["price", "sold"]).output_width
    32
    """

    kind: Literal["adapter"] = "adapter"
    paper: ClassVar[str] = (
        "Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019 (behind); "
        "Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022 (inside)"
    )
    place: Literal["behind", "inside"] = Field(
        default="behind",
        description="behind: a bottleneck on the trunk's output; inside: an update to each layer of the trunk, which "
        "is then computed once per task.",
    )
    rank: int = Field(default=8, gt=0, description="Width of the bottleneck, or rank of the updates.")
    strength: float = Field(
        default=1e-4, ge=0, description="Weight of the penalty on the updates, which keeps tasks to what is shared."
    )

    @model_validator(mode="after")
    def _updates_have_a_place(self) -> Self:
        if self.place == "inside" and not self.layers:
            raise ValueError("`layers: 0` leaves no layer for `place: inside`; use `place: behind`, or more layers")
        return self

    def build(self, input_width: int, *, tasks: Sequence[str]) -> Sharing:
        """A trunk, and updates for each of the tasks."""
        chosen = AdapterSharing if self.place == "behind" else LoRASharing
        return chosen(
            input_width,
            tasks=tasks,
            width=self.width,
            layers=self.layers,
            dropout=self.dropout,
            rank=self.rank,
            strength=self.strength,
        )


class AdapterSharing(Sharing):
    """`y_k = z + B_k GELU(A_k z)` on the trunk's output z `[B, H]`; A_k `[rank, H]`, B_k `[H, rank]`, at first 0.

    So it starts as hard sharing. The penalty is `strength / 2 sum_k (|A_k|^2 + |B_k|^2)`.

    Houlsby et al., ICML 2019. Deviations: the trunk learns too, and for all tasks at once (as in Stickland & Murray,
    ICML 2019); one adapter, behind the last layer; no biases; the penalty. The weights are each task's own, where
    Mahabadi et al. (ACL 2021) have them made from a task embedding by a network that tasks share.

    >>> import torch
    >>> sharing = AdapterSharing(16, tasks=("price", "sold"), width=32)
    >>> z = sharing.trunk(torch.randn(2, 16))
    >>> torch.equal(sharing.branch({"price": z})["price"], z)
    True
    """

    def __init__(
        self,
        input_width: int,
        *,
        tasks: Sequence[str],
        width: int = 128,
        layers: int = 1,
        dropout: float = 0.0,
        rank: int = 8,
        strength: float = 1e-4,
    ) -> None:
        super().__init__()
        self.shared = Trunk(input_width, width=width, layers=layers, dropout=dropout)
        self.output_width = width = self.shared.output_width
        self.strength = strength
        self.update = LowRankUpdate(width, width, tasks=tasks, rank=rank, activation=F.gelu)

    def trunk(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B H"]:
        """The shared layers."""
        shared: Tensor = self.shared(features)
        return shared

    def branch(self, copies: Mapping[str, Float[Tensor, "B H"]]) -> dict[str, Float[Tensor, "B output_width"]]:
        """The copies, each with its task's update."""
        tasks = sorted(copies)
        z = stacked([copies[task] for task in tasks])
        return dict(zip(tasks, (z + self.update(z, tasks)).unbind(), strict=True))

    def penalties(self) -> dict[str, Float[Tensor, ""]]:
        """`update`."""
        return {"update": self.strength * self.update.size()}
