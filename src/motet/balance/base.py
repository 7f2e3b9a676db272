"""The contract of the task side of the room: how much each task moves what is shared.

K tasks, keyed by name. A balancer sees losses before backward (`weigh`), and, if `uses_gradients`, the Gram matrix of
the tasks' gradients at the junction inside the one ordinary backward (`combine`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from motet.core.component import ComponentSpec


class Balancer(nn.Module, ABC):
    """One balancing method. All state that matters is in `state_dict`, keyed by task name."""

    uses_gradients: bool = False

    @abstractmethod
    def weigh(self, losses: Mapping[str, Float[Tensor, ""]]) -> dict[str, Float[Tensor, ""]]:
        """The terms whose sum is differentiated, one per task given (those labelled and finite in this step)."""

    @abstractmethod
    def combine(self, gram: Float[Tensor, "K K"], tasks: Sequence[str]) -> Float[Tensor, "K"]:
        """Weights for the tasks' gradients from their float64 Gram matrix, rows in the order of `tasks`."""

    @abstractmethod
    def after_step(self, losses: Mapping[str, float]) -> None:
        """Called once after each optimiser step with the step's losses."""

    @abstractmethod
    def epoch_end(self, losses: Mapping[str, float]) -> None:
        """Called once after each epoch with the epoch's mean losses."""


class BalancerSpec(ComponentSpec, ABC):
    """What every balancing method has in common."""

    @abstractmethod
    def build(self, tasks: Sequence[str]) -> Balancer:
        """The balancer for these tasks."""
