"""The head of every task that answers with a fixed number of values."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from motet.tasks.row import Head


class LinearHead(Head):
    """Features `[B, D]` -> output `[B, *output_shape]` by one linear layer; the shape `()` is one value per row.

    The weights start at a tenth of PyTorch's default, so that after `start_from` an untrained head answers nearly the
    prior, while the gradient still reaches the features from the first step.

    >>> LinearHead(8, output_shape=(3,))(torch.zeros(2, 8)).shape
    torch.Size([2, 3])
    """

    def __init__(self, input_width: int, *, output_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.output_shape = output_shape
        self.linear = nn.Linear(input_width, math.prod(output_shape))
        with torch.no_grad():
            self.linear.weight.mul_(0.1)
            self.linear.bias.zero_()

    def forward(self, features: Float[Tensor, "B D"]) -> Tensor:
        """Features -> output."""
        output: Tensor = self.linear(features)
        return output.reshape(features.shape[0], *self.output_shape)

    def start_from(self, prior: Tensor) -> None:
        """Take the prior, of shape `output_shape`, as the bias."""
        with torch.no_grad():
            self.linear.bias.copy_(prior.reshape(-1))
