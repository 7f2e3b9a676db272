"""One vector per input, all of one width.

B rows, T tokens, D width of an input, W common width.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from motet.core.flow import Fused, Tokens
from motet.nn.named import Named
from motet.nn.pooling import masked_mean


def pooled(tokens: Tokens) -> Float[Tensor, "B D"]:
    """The mean of the real tokens: in a row without the input, its learned absent token.

    >>> one = torch.ones(1, 1, dtype=torch.bool)
    >>> pooled(Tokens(torch.full((1, 1, 2), 3.0), one, one[0]))
    tensor([[3., 3.]])
    """
    return masked_mean(tokens.values, tokens.mask)


def presence(tokens: Mapping[str, Tokens]) -> Bool[Tensor, "B M"]:
    """Which inputs each row has, in the sorted order of their names."""
    return torch.stack([tokens[name].present for name in sorted(tokens)], dim=1)


def one_stream(
    fused: Float[Tensor, "B W"], tokens: Mapping[str, Tokens], *, contexts: Mapping[str, Tokens] | None = None
) -> dict[str, Fused]:
    """The only stream, "joint": it decides alone, and is present in the rows that have any input.

    >>> one = torch.ones(1, 1, dtype=torch.bool)
    >>> one_stream(torch.zeros(1, 2), {"photo": Tokens(torch.zeros(1, 1, 2), one, one[0])})["joint"].weight
    tensor([1.])
    """
    return {"joint": Fused(fused, presence(tokens).any(dim=1), torch.ones_like(fused[:, 0]), contexts)}


class Projections(nn.Module):
    """`P_m x_m`: each input's mean token through a linear map of its own.

    >>> Projections({"photo": 8, "age": 2}, width=4)
    Projections(
      (maps): Named(
        (age): Linear(in_features=2, out_features=4, bias=True)
        (photo): Linear(in_features=8, out_features=4, bias=True)
      )
    )
    """

    def __init__(self, input_widths: Mapping[str, int], *, width: int) -> None:
        super().__init__()
        self.maps = Named({name: nn.Linear(input_widths[name], width) for name in sorted(input_widths)})

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Float[Tensor, "B W"]]:
        """One vector per input, sorted by name."""
        return {name: linear(pooled(tokens[name])) for name, linear in self.maps.items()}
