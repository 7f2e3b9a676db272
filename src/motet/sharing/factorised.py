"""Factorised tasks: the tasks' layers are mixtures of a few, by a tensor factorisation that is learned."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from motet.sharing.base import Sharing
from motet.sharing.biases import bias_penalty
from motet.sharing.bytask import ByTask, stacked
from motet.sharing.trunk import Trunk, TrunkSpec

Form = Literal["tucker", "tt"]
BRANCH_RANK = 32


class Factorised(TrunkSpec):
    """A layer per task behind a trunk, composed of factors that all tasks share and a few numbers of its own.

    >>> Factorised(branch=16).build(8, tasks=["price", "sold"]).output_width
    16
    """

    kind: Literal["factorised"] = "factorised"
    paper: ClassVar[str] = (
        "Yang & Hospedales, Deep Multi-task Representation Learning: A Tensor Factorisation Approach, ICLR 2017"
    )
    branch: int = Field(default=64, gt=0, description="Width of each task's layer.")
    form: Form = Field(
        default="tucker",
        description="tucker: a factor for the features, the branch and the tasks, around a core; tt: a chain of three, "
        "without a factor for the branch.",
    )
    feature_rank: int = Field(default=64, gt=0, description="Rank along the shared features, at most their number.")
    branch_rank: int | None = Field(
        default=None,
        gt=0,
        description="Rank along the branch, of tucker alone, at most its width; null: 32.",
    )
    task_rank: int = Field(
        default=4, gt=0, description="How many layers each task's layer is a mixture of, at most the number of tasks."
    )
    bias: float = Field(
        default=0.0,
        ge=0,
        description="Weight of the squared distance of the tasks' biases from their mean; 0: biases are free.",
    )

    @model_validator(mode="after")
    def _a_chain_has_two_ranks(self) -> Self:
        if self.form == "tt" and self.branch_rank is not None:
            raise ValueError("`branch_rank` says nothing of the form tt; leave it out, or choose another `form`")
        return self

    def build(self, input_width: int, *, tasks: Sequence[str]) -> "FactorisedSharing":
        """A trunk, shared factors, and a factor for each of the tasks."""
        return FactorisedSharing(
            input_width,
            tasks=tasks,
            width=self.width,
            layers=self.layers,
            dropout=self.dropout,
            branch=self.branch,
            form=self.form,
            feature_rank=self.feature_rank,
            branch_rank=self.branch_rank,
            task_rank=self.task_rank,
            bias=self.bias,
        )


class FactorisedSharing(Sharing):
    """`y_k = W_k z + b_k` on the trunk's output z `[B, H]`, the tensor of all W_k `[branch, H]` factorised.

    "tucker": `W_k[d, h] = sum_abc S[a, b, c] U[a, h] V[d, b] u_k[c]`. "tt", the chain of U, S and u:
    `W_k[d, h] = sum_ac S[a, d, c] U[a, h] u_k[c]`. Ranks are a up to `feature_rank`, b up to `branch_rank`, c up to
    `task_rank`. U, V and S are shared and lie before the junction: what it parts is `[B, branch, task_rank]`, all that
    z means to any task, and a task's branch is its mixture by u_k. So no W_k is ever formed.

    Factors start as normal numbers whose variances make that of every W_k[d, h] `1/3H`, as in PyTorch's own layers.

    Yang & Hospedales, ICLR 2017. Deviations: ranks are fields, and factors start at random, where the paper finds both
    by decomposing layers of tasks trained alone; one layer per task is factorised, not every layer of the network;
    biases are not factorised, and `bias sum_k |b_k - mean b|^2` can be added.

    >>> sharing = FactorisedSharing(16, tasks=("price", "sold"), branch=4)
    >>> shared = sharing.trunk(torch.zeros(2, 16))
    >>> shared.shape, sharing.branch({"price": shared})["price"].shape
    (torch.Size([2, 4, 2]), torch.Size([2, 4]))
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
        form: Form = "tucker",
        feature_rank: int = 64,
        branch_rank: int | None = None,
        task_rank: int = 4,
        bias: float = 0.0,
    ) -> None:
        super().__init__()
        self.output_width = branch
        self.shared = Trunk(input_width, width=width, layers=layers, dropout=dropout)
        num_features, names = self.shared.output_width, sorted(tasks)
        a, c = min(feature_rank, num_features), min(task_rank, len(names))
        b = branch if form == "tt" else min(BRANCH_RANK if branch_rank is None else branch_rank, branch)
        self.features = nn.Parameter(torch.randn(a, num_features) / math.sqrt(a))
        self.core = nn.Parameter(torch.randn(a, b, c) / math.sqrt(3 * num_features))
        self.outputs = nn.Parameter(torch.randn(branch, b) / math.sqrt(b)) if form == "tucker" else None
        self.mixture = ByTask({task: torch.randn(c) / math.sqrt(c) for task in names})
        self.bias = ByTask(dict.fromkeys(names, torch.zeros(branch)))
        self.bias_weight = bias

    def trunk(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B output_width R"]:
        """The shared layers and factors: what each of the layers to be mixed makes of a row."""
        core = self._core()
        narrow = self.shared(features) @ self.features.mT
        shared: Tensor = (narrow @ core.flatten(1)).unflatten(1, core.shape[1:])
        return shared

    def branch(
        self, copies: Mapping[str, Float[Tensor, "B output_width R"]]
    ) -> dict[str, Float[Tensor, "B output_width"]]:
        """Each task's mixture."""
        tasks = sorted(copies)
        shared = stacked([copies[task] for task in tasks])
        mixed = (shared @ self.mixture(tasks)[:, None, :, None]).squeeze(-1)
        return dict(zip(tasks, (mixed + self.bias(tasks)[:, None]).unbind(), strict=True))

    def penalties(self) -> dict[str, Float[Tensor, ""]]:
        """`bias` where it has a weight."""
        return bias_penalty(self.bias(), self.bias_weight)

    def weights(self) -> Float[Tensor, "K output_width H"]:
        """The composed W_k of all tasks, sorted by name."""
        return torch.einsum("adc,ah,kc->kdh", self._core(), self.features, self.mixture())

    def _core(self) -> Float[Tensor, "A output_width R"]:
        """S, with V applied where there is one."""
        return self.core if self.outputs is None else torch.einsum("abc,db->adc", self.core, self.outputs)
