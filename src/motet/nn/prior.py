"""The answer where nothing is known."""

import torch
from jaxtyping import Bool
from torch import Tensor, nn


class Prior(nn.Module):
    """A learned constant that takes the place of the output in rows about which nothing is known.

    >>> prior = Prior(())
    >>> prior(torch.tensor([2.0, float("nan")]), known=torch.tensor([True, False]))
    tensor([2., 0.], grad_fn=<WhereBackward0>)
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.answer = nn.Parameter(torch.zeros(shape))

    def forward(self, output: Tensor, *, known: Bool[Tensor, "B"]) -> Tensor:
        """`output [B, *shape]` where `known`, the constant elsewhere."""
        if not known.is_cuda and not torch.compiler.is_compiling() and bool(known.all()):
            return output
        beside = known.reshape(-1, *[1] * (output.ndim - 1))
        return torch.where(beside, output, self.answer.to(output.dtype))

    def start_from(self, prior: Tensor) -> None:
        """Begin with this constant, of the same shape."""
        with torch.no_grad():
            self.answer.copy_(prior)
