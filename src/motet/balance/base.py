"""The contracts of the room: how much each task moves what is shared, and how fast each input learns.

K tasks, keyed by name. A balancer sees losses before backward (`weigh`), and, if `uses_gradients`, the Gram matrix of
the tasks' gradients at the junction inside the one ordinary backward (`combine`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from motet.balance.throttle import Throttle
from motet.core.component import ComponentSpec


class Balancer(nn.Module, ABC):
    """One balancing method. All state that matters is in `state_dict`, keyed by task name."""

    uses_gradients: bool = False

    @abstractmethod
    def weigh(self, losses: Mapping[str, Float[Tensor, ""]]) -> dict[str, Float[Tensor, ""]]:
        """The terms whose sum is differentiated, one per task given (those labelled and finite in this step)."""

    @abstractmethod
    def combine(self, gram: Float[Tensor, "K K"], tasks: Sequence[str]) -> Float[Tensor, "K"]:
        """Weights for the tasks' gradients from their float64 Gram matrix on the CPU, rows in the order of `tasks`.

        Tasks whose gradient is zero or missing in this step have no row; there is at least one row. A balancer that
        does not use gradients answers ones and is never asked.
        """

    @abstractmethod
    def after_step(self, losses: Mapping[str, float]) -> None:
        """Called once after each optimiser step with the step's losses."""

    @abstractmethod
    def epoch_end(self, losses: Mapping[str, float]) -> None:
        """Called once after each epoch with the epoch's mean losses."""


class BalancerSpec(ComponentSpec, ABC):
    """What every way of balancing tasks has in common."""

    @abstractmethod
    def build(self, tasks: Sequence[str]) -> Balancer:
        """The balancer for these tasks."""


class ThrottleSpec(ComponentSpec, ABC):
    """What every way of balancing inputs has in common."""

    @abstractmethod
    def build(self, input_widths: Mapping[str, int], *, tasks: Mapping[str, int | None]) -> Throttle:
        """The throttle for inputs of these widths; `tasks` says of each how many classes its label is one of, if it is.

        Raises `SpecError` where the method is not defined for these inputs and tasks.
        """
