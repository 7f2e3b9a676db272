"""The input side of the room: the identity on every input's tokens, with a say in what each encoder learns.

B rows, N rows of a table.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from motet.balance.witness import Witness
from motet.core.flow import Tokens

TokensByInput = Mapping[str, Tokens]
ValidLosses = Mapping[str, Mapping[str, float]]
"""{input: {task: mean loss of its single-input head}}, and under the empty name that of the joint decisions."""


class Throttle(nn.Module, ABC):
    """One method of balancing inputs. All state that matters is in `state_dict`, keyed by input name.

    A throttle with `uses_singles` has the network keep a small head for each input and task that sees this input only;
    one without is not asked for `terms` and `after_backward`.
    What it learns of losses it learns from the rows of its own process. `factors` say for the log what the method last
    did to each input: by which factor it scaled its gradient, or the like, 1 being nothing. In evaluation mode a
    throttle does nothing. Of an accumulated step each batch is judged and scaled on its own.
    """

    uses_singles: bool = False
    factors: Mapping[str, float] = {}

    @abstractmethod
    def keep(
        self, present: Mapping[str, Bool[Tensor, "B"]], keys: Int64[Tensor, "B"]
    ) -> Mapping[str, Bool[Tensor, "B"]]:
        """Which inputs each training row is shown, of those it has; `keys` seed chance."""

    @abstractmethod
    def forward(self, tokens: TokensByInput) -> tuple[TokensByInput, TokensByInput]:
        """The identity, twice: what fusion reads, and what the single-input heads read (nothing where there are none).

        On the way back the gradients of both may be scaled and combined; detached tokens teach an encoder nothing.
        """

    @abstractmethod
    def terms(self, witness: Witness) -> dict[str, Float[Tensor, ""]]:
        """Losses added to the step's total, by name, before its backward; factors for it are found here."""

    @abstractmethod
    def after_backward(self, parameters: Mapping[str, Sequence[nn.Parameter]], *, key: int) -> None:
        """Called once before each optimiser step, with the parameters of each input's encoder; `key` seeds chance."""

    @abstractmethod
    def epoch_end(self, valid: ValidLosses | None) -> None:
        """Called once after each epoch, with losses on the validation rows where there are any."""

    @abstractmethod
    def row_weights(self, present: Mapping[str, Bool[Tensor, "N"]]) -> Float[Tensor, "N"] | None:
        """How often each training row is drawn, mean 1; None for once an epoch each."""
