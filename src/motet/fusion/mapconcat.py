"""Early fusion of maps: laid over each other place by place, joined by channel and convolved.

B rows, T tokens, D width of an input, W common width, P places of the common map, H x W' its height and width.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, Grids
from motet.fusion.project import one_stream
from motet.nn.conv import group_norm
from motet.nn.dropout import Dropout
from motet.nn.named import Named
from motet.nn.pooling import hide, masked_mean


class MapConcatFusion(Fusion):
    """`h = W_1 mean_p y_p + W_2 mean_p s_p y_p + b`, y the convolution of `z_p = sum_m P_m x_mp` over the places p.

    P_m is a linear map with bias, so z is the 1x1 convolution of all channels side by side (RGB and depth are joined
    by channel in Couprie et al., ICLR 2013). Then `y = gelu(norm(C z))` and for each further layer
    `y += gelu(norm(C y))`, C a convolution over 3 x 3 places, norm that of groups (Wu & He, ECCV 2018). A mean forgets
    what was where; s_p, a learned gain per place and channel, N(0, 1) at first, remembers, as in `ImageEncoder`.

    Where any input is in `grids`, the common map is as high as the highest and as wide as the widest; maps are
    resampled to it bilinearly (cells outside a map's mask are 0), and what is no map has its mean token at every place.
    Elsewhere it is a line of `places`, C a convolution over 3 of them, and the real tokens of each row are resampled
    to it linearly, antialiased where they shrink: aligned in time is to be at the same fraction of the recording.

    Training pictures are shifted and mirrored each on its own (`crop`, `flip`): for maps that must stay aligned set
    `crop: 0` and leave `flip` off.

    An absent input is exact: its term is left out of the sum, the learned absent token is not looked at. `places` and
    the grids that remain being the same, the row comes out as without the input. A row without any is a constant.

    >>> present = torch.ones(2, dtype=torch.bool)
    >>> photo = Tokens(torch.zeros(2, 16, 8), torch.ones(2, 16, dtype=torch.bool), present)
    >>> depth = Tokens(torch.zeros(2, 4, 3), torch.ones(2, 4, dtype=torch.bool), present)
    >>> fusion = MapConcatFusion({"photo": 8, "depth": 3}, grids={"photo": (4, 4), "depth": (2, 2)}, width=16)
    >>> fusion({"photo": photo, "depth": depth})["joint"].pooled.shape
    torch.Size([2, 16])
    """

    def __init__(
        self,
        input_widths: Mapping[str, int],
        *,
        grids: Grids | None = None,
        width: int = 128,
        layers: int = 1,
        places: int = 16,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.output_width = width
        self.exact = True
        self.streams = ("joint",)
        self.grids = {name: grid for name, grid in sorted((grids or {}).items()) if name in input_widths}
        self.sides = tuple(map(max, zip(*self.grids.values(), strict=True))) if self.grids else (places,)
        self.maps = Named({name: nn.Linear(input_widths[name], width) for name in sorted(input_widths)})
        self.layers = nn.ModuleList(_Layer(width, dimensions=len(self.sides)) for _ in range(layers))
        self.between = nn.ModuleList(Dropout(dropout) for _ in range(layers - 1))
        self.gain = nn.Parameter(torch.randn(width, math.prod(self.sides)))
        self.project = nn.Linear(2 * width, width)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        terms = [self._laid(name, linear(_real(tokens[name])), tokens[name]) for name, linear in self.maps.items()]
        x = self.layers[0](torch.stack(terms).sum(dim=0))
        for layer, dropout in zip(self.layers[1:], self.between, strict=True):
            x = x + layer(dropout(x))
        x = x.flatten(2)
        fused = self.dropout(self.project(torch.cat([x.mean(dim=2), (self.gain * x).mean(dim=2)], dim=1)))
        return one_stream(fused, tokens)

    def _laid(self, name: str, x: Float[Tensor, "B T W"], one: Tokens) -> Float[Tensor, "B W *sides"]:
        """One input's channels at every place of the common map; zeros in rows without the input."""
        if name in self.grids:
            laid = self._map(self.grids[name], hide(x, one.mask))
        elif self.grids:
            laid = masked_mean(x, one.mask)[:, :, None, None].expand(-1, -1, *self.sides)
        else:
            laid = (interpolation(one.mask, self.sides[0]).to(x.dtype) @ hide(x, one.mask)).transpose(1, 2)
        return hide(laid, one.present)

    def _map(self, grid: tuple[int, int], x: Float[Tensor, "B T W"]) -> Float[Tensor, "B W H W2"]:
        """Products, where `F.interpolate` would be the same but for the order of its sums in a gradient on a GPU."""
        cells = nn.functional.pad(x, (0, 0, 0, math.prod(grid) - x.shape[1]))  # a batch without the input has one token
        maps = cells.transpose(1, 2).reshape(x.shape[0], -1, *grid)
        if grid == self.sides:
            return maps
        down, across = (
            interpolation(torch.ones(1, side, dtype=torch.bool, device=x.device), places)[0].to(x.dtype)
            for side, places in zip(grid, self.sides, strict=True)
        )
        return torch.einsum("Yy,bwyx,Xx->bwYX", down, maps, across)


class _Layer(nn.Module):
    def __init__(self, width: int, *, dimensions: int) -> None:
        super().__init__()
        convolution = nn.Conv2d if dimensions == 2 else nn.Conv1d
        self.conv = convolution(width, width, 3, padding=1, bias=False)
        self.norm = group_norm(width)

    def forward(self, x: Float[Tensor, "B W *sides"]) -> Float[Tensor, "B W *sides"]:
        """`gelu(norm(C x))`, as large as it was."""
        return nn.functional.gelu(self.norm(self.conv(x)))


def interpolation(mask: Bool[Tensor, "B T"], places: int) -> Float[Tensor, "B P T"]:
    """Weights that resample each row's real tokens, n of them in their order, to `places` by the triangle.

    Place p stands at `u_p = (p + 1/2) n / P - 1/2` among them, and token i weighs `max(0, 1 - |i - u_p| / max(1, n/P))`
    there, divided by the sum of all: linear interpolation, with antialiasing where there are fewer places than tokens.

    >>> interpolation(torch.tensor([[True, True, False]]), 4)
    tensor([[[1.0000, 0.0000, 0.0000],
             [0.7500, 0.2500, 0.0000],
             [0.2500, 0.7500, 0.0000],
             [0.0000, 1.0000, 0.0000]]])
    """
    rank = (mask.cumsum(dim=1) - 1)[:, None]
    pace = (mask.sum(dim=1) / places)[:, None, None]
    at = (torch.arange(places, device=mask.device)[:, None] + 0.5) * pace - 0.5
    weights = (1 - (rank - at).abs() / pace.clamp(min=1)).clamp(min=0)
    weights = torch.where(mask[:, None], weights, 0.0)
    return weights / weights.sum(dim=2, keepdim=True)


def _real(one: Tokens) -> Float[Tensor, "B T D"]:
    return hide(one.values, one.mask & one.present[:, None])
