"""A bidirectional recurrent layer that padding does not reach.

Shapes: B rows, T tokens, I width in, D width out.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from motet.nn.pooling import hide


class BidirectionalGRU(nn.Module):
    """A GRU (Cho et al., EMNLP 2014) from either end, halves of the width joined; the mask is one run from the start.

    The one from behind reads each row reversed within its own length, so no state ever passes through padding. Hidden
    tokens come out as zeros.

    >>> gru, mask = BidirectionalGRU(8, width=6), torch.tensor([[True, True, False]])
    >>> gru(torch.randn(1, 3, 8), mask).shape
    torch.Size([1, 3, 6])
    """

    def __init__(self, input_width: int, *, width: int) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"two directions share the width, so it must be even, found {width}")
        self.ahead = nn.GRU(input_width, width // 2, batch_first=True)
        self.behind = nn.GRU(input_width, width // 2, batch_first=True)

    def forward(self, x: Float[Tensor, "B T I"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Tokens in, tokens out, each knowing both sides of it."""
        x = hide(x, mask)
        order = _reversal(mask)
        ahead, _ = self.ahead(x)
        behind, _ = self.behind(_reordered(x, order))
        return hide(torch.cat([ahead, _reordered(behind, order)], dim=2), mask)


def _reversal(mask: Bool[Tensor, "B T"]) -> Tensor:
    """Where each place goes when the row is turned around within its length; padding stays."""
    place = torch.arange(mask.shape[1], device=mask.device)
    return torch.where(mask, mask.sum(dim=1, keepdim=True) - 1 - place, place)


def _reordered(x: Float[Tensor, "B T D"], order: Tensor) -> Float[Tensor, "B T D"]:
    return x.gather(1, order[:, :, None].expand(-1, -1, x.shape[2]))
