"""No balance between inputs."""

from collections.abc import Mapping, Sequence
from typing import Literal

from motet.balance.base import ThrottleSpec
from motet.balance.throttle import Throttle
from motet.core.flow import Tokens


class NoThrottle(ThrottleSpec):
    """Every input learns at its own pace.

    >>> NoThrottle().build(["photo", "review"])
    IdentityThrottle()
    """

    kind: Literal["none"] = "none"

    def build(self, inputs: Sequence[str]) -> "IdentityThrottle":
        """The identity, whatever the inputs."""
        return IdentityThrottle()


class IdentityThrottle(Throttle):
    """The identity, forward and back."""

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Tokens]:
        """The same tokens."""
        return dict(tokens)
