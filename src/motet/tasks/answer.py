"""No head: the features are the answer."""

from jaxtyping import Float
from torch import Tensor

from motet.core.errors import SpecError
from motet.tasks.row import Head


class AnswerHead(Head):
    """Features `[B, 1]` -> output `[B]`, as they are.

    A head of a task's own can undo what a penalty does to the layers before it: larger weights for smaller features, a
    bias where theirs is held. Without one, layers that are drawn together are answers that are drawn together.

    >>> import torch
    >>> AnswerHead(1)(torch.tensor([[2.0], [3.0]]))
    tensor([2., 3.])
    """

    def __init__(self, input_width: int) -> None:
        super().__init__()
        if input_width != 1:
            raise SpecError(
                f"a task without a head takes features of width 1, found {input_width}; set sharing.branch: 1, or "
                "sharing.width: 1 where tasks have no layers of their own; or head: linear"
            )

    def forward(self, features: Float[Tensor, "B 1"]) -> Float[Tensor, "B"]:
        """Their only column."""
        return features[:, 0]

    def start_from(self, prior: Tensor) -> None:
        """Nothing: the answer starts where the layers before do, near 0, the mean of what was standardised."""
