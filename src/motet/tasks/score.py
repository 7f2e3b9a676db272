"""The head of tasks that only compare rows: a score that means nothing by itself."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from motet.tasks.row import Head


class ScoreHead(Head):
    """Features `[B, D]` -> a score `[B]` by a linear layer without a bias, which no comparison would ever move.

    The weights start at a tenth of PyTorch's default, as those of `LinearHead`.

    >>> ScoreHead(8)(torch.zeros(2, 8))
    tensor([0., 0.], grad_fn=<SqueezeBackward1>)
    """

    def __init__(self, input_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_width, 1, bias=False)
        with torch.no_grad():
            self.linear.weight.mul_(0.1)

    def forward(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B"]:
        """Features -> score."""
        score: Tensor = self.linear(features)
        return score.squeeze(-1)

    def start_from(self, prior: Tensor) -> None:
        """Nothing to take in: without any input all rows are alike."""
