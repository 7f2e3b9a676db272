"""Fixed task weights: the baseline to beat."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.balance.base import Balancer, BalancerSpec
from motet.balance.known import check_known
from motet.balance.logarithm import logarithm
from motet.balance.numbers import Numbers


class Fixed(BalancerSpec):
    """A weighted sum of the losses, or of their logarithms, with weights that never change: yours, or found by search.

    With `weights: search` a run first trains models with other weights and keeps those that do best on the validation
    rows (`motet.study.search`). A network that is built before, or by itself, has equal weights.

    >>> Fixed(weights={"price": 2.0}).build(["price", "sold"]).weights
    {'price': 2.0, 'sold': 1.0}
    """

    paper: ClassVar[str] = (
        "Xin et al., Do Current Multi-Task Optimization Methods in Deep Learning Even Help?, NeurIPS 2022 (baseline)"
    )

    kind: Literal["fixed"] = "fixed"
    weights: dict[str, Annotated[float, Field(gt=0)]] | Literal["search"] | None = Field(
        default=None,
        description="The weight of each task's loss, 1 for a task that is not named; or search: those that do best on "
        "the validation rows, at the price of some more trainings.",
    )
    log: bool = Field(
        default=False,
        description="Weigh the logarithms of the losses: a task counts by the share by which its loss falls.",
    )
    candidates: int = Field(
        default=8,
        ge=2,
        description="At weights: search, how many weightings it begins with, equal weights among them. Each halving "
        "costs about one training more, and each model may take training.minutes.",
    )

    def build(self, tasks: Sequence[str], *, seed: int = 0) -> "FixedBalancer | SearchedBalancer":
        """Refuses weights of tasks that do not exist."""
        if isinstance(self.weights, str):
            return SearchedBalancer(tasks, log=self.log)
        given = self.weights or {}
        check_known(given, tasks, field="weights")
        return FixedBalancer({task: given.get(task, 1.0) for task in tasks}, log=self.log)


class FixedBalancer(Balancer):
    """`sum_k w_k L_k`; with `log` it is `sum_k w_k log L_k`. Heads and shared parts see the weighted loss.

    The logarithm is `logarithm`, which is finite for losses that are zero or negative.

    >>> import torch
    >>> terms = FixedBalancer({"a": 3.0}).weigh({"a": torch.tensor(2.0)})
    >>> terms["a"].item()
    6.0
    """

    def __init__(self, weights: Mapping[str, float], *, log: bool = False) -> None:
        super().__init__()
        self.weights, self.log = dict(weights), log

    def weigh(self, losses: Mapping[str, Float[Tensor, ""]]) -> dict[str, Float[Tensor, ""]]:
        """Each loss, or its logarithm, times its weight."""
        terms = {task: logarithm(loss) if self.log else loss for task, loss in losses.items()}
        return {task: term if (w := self.weights[task]) == 1 else term * w for task, term in terms.items()}


class SearchedBalancer(Balancer):
    """The same sum with weights that are found after it was built: equal until `set_weights`, and kept with its state.

    >>> import torch
    >>> balancer = SearchedBalancer(["b", "a"])
    >>> balancer.set_weights({"a": 0.5, "b": 1.5})
    >>> balancer.weigh({"b": torch.tensor(2.0)})["b"].item()
    3.0
    """

    def __init__(self, tasks: Sequence[str], *, log: bool = False) -> None:
        super().__init__()
        self.log = log
        self.found = Numbers(tasks, start=(1.0,))

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each task."""
        return {task: weight for task, (weight,) in self.found.lists().items()}

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Have these from now on."""
        for task, weight in weights.items():
            self.found[task].fill_(weight)

    def weigh(self, losses: Mapping[str, Float[Tensor, ""]]) -> dict[str, Float[Tensor, ""]]:
        """Each loss, or its logarithm, times its weight."""
        return {
            task: (logarithm(loss) if self.log else loss) * self.found[task][0].to(loss)
            for task, loss in losses.items()
        }
