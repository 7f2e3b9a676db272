"""A multi-layer perceptron."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from motet.nn.dropout import Dropout


class MLP(nn.Module):
    """Hidden layers (linear, layer norm where asked, GELU, dropout), then one linear layer.

    >>> import torch
    >>> MLP(4, hidden=[16, 16], output_width=3)(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self, input_width: int, *, hidden: Sequence[int], output_width: int, dropout: float = 0.0, norm: bool = False
    ) -> None:
        super().__init__()
        self.output_width = output_width
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(input_width, width), *([nn.LayerNorm(width)] if norm else []), nn.GELU()]
            layers += [Dropout(dropout)] if dropout else []
            input_width = width
        self.layers = nn.Sequential(*layers, nn.Linear(input_width, output_width))

    def forward(self, x: Float[Tensor, "*rest I"]) -> Float[Tensor, "*rest O"]:
        """Map the last dimension; with dropout the first is the row."""
        output: Tensor = self.layers(x)
        return output
