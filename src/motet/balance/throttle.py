"""The input side of the room: the identity on every input's tokens, with a say in how fast each input learns."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import nn

from motet.core.flow import Tokens


class Throttle(nn.Module, ABC):
    """`{input: Tokens}` -> the same tokens; on the way back the gradient of each input may be scaled.

    All state that matters is in `state_dict`, keyed by input name.
    """

    @abstractmethod
    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Tokens]:
        """The identity."""
