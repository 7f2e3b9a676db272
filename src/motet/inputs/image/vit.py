"""A vision transformer from scratch, whose tokens are the patches of a picture.

Shapes: C, H, W of the picture; h, w of the map of patches; D width.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from motet.core.component import ComponentSpec
from motet.core.flow import Tokens
from motet.inputs.base import Encoder
from motet.nn import Dropout, Transformer

MOST_PATCHES = 256
"""Where `patch` is "auto": attention takes the square of it."""
PLACES = 0.5
"""The deviation of new places: that of the patches' map, so that where a patch is counts from the start. From the 0.02
of others, 2,000 digits were told apart at .48 instead of .66 after 250 steps (one seed, validation rows)."""


class TransformerPatches(ComponentSpec):
    """A vision transformer from scratch, with the input's fields `width` and `dropout`.

    >>> [TransformerPatches(patch=patch).side((128, 64)) for patch in ("auto", 7)]
    [8, 7]
    """

    kind: Literal["vit"] = "vit"
    paper: ClassVar[str] = "Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021"
    patch: PositiveInt | Literal["auto"] = Field(
        default="auto",
        description="Pixels on each side of a patch; auto: 4, doubled until there are at most 256 patches.",
    )
    layers: int = Field(default=4, ge=1, description="Blocks one upon another.")
    heads: int = Field(default=4, ge=1, description="Heads of the attention; they divide the width.")

    def side(self, size: tuple[int, int]) -> int:
        """Pixels on each side of a patch of a picture of this size."""
        if self.patch != "auto":
            return self.patch
        side = 4
        while -(-size[0] // side) * -(-size[1] // side) > MOST_PATCHES:
            side *= 2
        return side

    def build(self, *, size: tuple[int, int], channels: int, width: int, dropout: float) -> "PatchEncoder":
        """An encoder of pictures of this size."""
        return PatchEncoder(
            size=size,
            channels=channels,
            patch=self.side(size),
            layers=self.layers,
            heads=self.heads,
            width=width,
            dropout=dropout,
        )


class PatchEncoder(Encoder):
    """Patches, a linear map of each, a learned vector of its place, and a pre-norm transformer over all of them.

        x_t = W p_t + b + e_t,   tokens = norm(block_L(... block_1(x)))

    Dosovitskiy et al., ICLR 2021 (ViT). Deviations: there is no class token, since fusion reads the patches, and
    pooling is its own to choose; dropout hides patches, but not their places; places start at a deviation of 0.5, not
    0.02; a picture whose sides are no multiples of the patch is padded right and below with zeros, the mean of the
    training pictures. `maps` are the tokens in their places, at the resolution of the patches.

    >>> encoder = PatchEncoder(size=(28, 26), channels=1, patch=4, layers=2, heads=2, width=16, dropout=0.0)
    >>> encoder.output_grid, encoder({"pixels": torch.zeros(2, 1, 28, 26)}).values.shape
    ((7, 7), torch.Size([2, 49, 16]))
    """

    def __init__(
        self, *, size: tuple[int, int], channels: int, patch: int, layers: int, heads: int, width: int, dropout: float
    ) -> None:
        super().__init__()
        self.output_width = width
        self.output_grid = self.grid = grid = (-(-size[0] // patch), -(-size[1] // patch))
        self.output_maps = ((width, *grid),)
        self.padding = (0, grid[1] * patch - size[1], 0, grid[0] * patch - size[0])
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.dropout = Dropout(dropout)
        self.context = Transformer(width, layers=layers, heads=heads, longest=grid[0] * grid[1], dropout=dropout)
        nn.init.normal_(self.context.places, std=PLACES)

    def felt(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Callable[[Tensor], Tokens]]:
        """The pixels `[N, C, H, W]`."""
        return values["pixels"], lambda x: self.forward({"pixels": x})

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`pixels [N, C, H, W]` -> `[N, h * w, D]`."""
        x = self.patches(F.pad(values["pixels"], self.padding)).flatten(2).transpose(1, 2)
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        tokens = self.context(self.dropout(x), mask)
        placed = tokens.transpose(1, 2).unflatten(2, self.grid)
        return Tokens(tokens, mask, mask[:, 0], maps=(placed,))
