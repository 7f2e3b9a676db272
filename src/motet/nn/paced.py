"""Parameters that learn at rates of their own."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import nn


class Paced(nn.Module, ABC):
    """A module that says at which part of the learning rate its parameters are to learn; the others, at all of it."""

    @abstractmethod
    def paces(self) -> Iterable[tuple[nn.Parameter, float]]:
        """Parameters, each once, with what their learning rate is multiplied by."""
