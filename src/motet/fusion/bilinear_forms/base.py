"""What every form is."""

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn


class Form(nn.Module, ABC):
    """`q(x, y)`, of every channel a product of the two: 0 where either is.

    Built as `Form(left_width, right_width, width=..., rank=...)`; `RANK` is the published rank.
    """

    RANK: ClassVar[int]

    @abstractmethod
    def forward(self, x: Float[Tensor, "B L"], y: Float[Tensor, "B R"]) -> Float[Tensor, "B W"]:
        """Fuse, each row on its own."""
