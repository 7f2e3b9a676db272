"""No balance between inputs."""

from collections.abc import Mapping, Sequence
from typing import Literal

from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from motet.balance.base import ThrottleSpec
from motet.balance.throttle import Throttle, TokensByInput, ValidLosses
from motet.balance.witness import Witness


class NoThrottle(ThrottleSpec):
    """Every input learns at its own pace.

    >>> NoThrottle().build({"photo": 8, "review": 4}, tasks={"price": None})
    IdentityThrottle()
    """

    kind: Literal["none"] = "none"

    def build(self, input_widths: Mapping[str, int], *, tasks: Mapping[str, int | None]) -> "IdentityThrottle":
        """The identity, whatever the inputs."""
        return IdentityThrottle()


class IdentityThrottle(Throttle):
    """The identity, forward and back."""

    def keep(
        self, present: Mapping[str, Bool[Tensor, "B"]], keys: Int64[Tensor, "B"]
    ) -> Mapping[str, Bool[Tensor, "B"]]:
        """All there is."""
        return present

    def forward(self, tokens: TokensByInput) -> tuple[TokensByInput, TokensByInput]:
        """The same tokens; no single-input head reads any."""
        return tokens, {}

    def terms(self, witness: Witness) -> dict[str, Float[Tensor, ""]]:
        """None."""
        return {}

    def after_backward(self, parameters: Mapping[str, Sequence[nn.Parameter]], *, key: int) -> None:
        """Nothing to do."""

    def epoch_end(self, valid: ValidLosses | None) -> None:
        """Nothing to do."""

    def row_weights(self, present: Mapping[str, Bool[Tensor, "N"]]) -> Float[Tensor, "N"] | None:
        """Once an epoch each."""
        return None
