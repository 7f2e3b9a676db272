"""Collective matrix factorisation: the factors of a row are those that best give back all inputs it has.

B rows, M inputs, D width of an input, R rank, W width of the fused vector.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn

from motet.core.flow import Fused, LossTerm, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.project import one_stream, pooled
from motet.nn.dropout import Dropout
from motet.nn.named import Named
from motet.nn.pooling import hide

WEIGHT = 0.1


class Factors(FusionSpec):
    """A few factors for each row, which give back every input it has by a linear map: matrix factorisation.

    Learning the maps needs no label: every row teaches them.

    >>> Factors(width=16, rank=4).build({"photo": 8, "review": 4}).output_width
    16
    """

    kind: Literal["factors"] = "factors"
    paper: ClassVar[str] = "Singh & Gordon, Relational Learning via Collective Matrix Factorization, KDD 2008"
    width: int = Field(default=128, gt=0, description="Width of the fused vector.")
    rank: int = Field(default=32, gt=0, description="How many factors each row has.")
    ridge: float = Field(default=0.1, gt=0, description="How much factors are held to 0: more, the less a row has.")
    weight: float = Field(default=WEIGHT, ge=0, description="Weight of the loss of giving the inputs back.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the fused vector.")

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "FactorsFusion":
        """Takes inputs of any number and width."""
        return FactorsFusion(
            input_widths,
            width=self.width,
            rank=self.rank,
            ridge=self.ridge,
            weight=self.weight,
            dropout=self.dropout,
        )


class FactorsFusion(Fusion):
    """`u = argmin_u sum_m |x_m - c_m - u Y_m|^2 + ridge |u|^2` over the inputs present, `h = W u + b`.

    x_m is the mean token of input m, Y_m `[R, D]` and c_m `[D]` are learned. With `A = ridge I + sum_m Y_m Y_m^T` that
    is `u = A^{-1} sum_m Y_m (x_m - c_m)`, solved for each row, so that gradients pass through it. An absent input drops
    out of both sums, exactly; a row without any has factors 0.

    The loss that needs no label is the minimum itself, over the number of channels of all inputs, times `weight`: the
    mean over the rows that have an input. Of it x_m is only the data: encoders learn from tasks alone, since they could
    make it small by saying nothing.

    Singh & Gordon, KDD 2008: X_m ~ U Y_m with one U. Deviations: the rows' U is not stored but found anew from what a
    row has, so that new rows have it too; X is what encoders make of the cells; offsets c_m; matrices of the same rows
    only, all weighted alike, with squared loss; Y is held by the optimiser's weight decay.

    >>> present = torch.tensor([True, False])
    >>> photo = Tokens(torch.ones(2, 1, 8), torch.ones(2, 1, dtype=torch.bool), present)
    >>> fusion = FactorsFusion({"photo": 8}, width=16, rank=4)
    >>> fusion({"photo": photo})["joint"].pooled.shape, int(fusion.objectives({"photo": photo})["factors"].count)
    (torch.Size([2, 16]), 1)
    """

    learns_alone = True

    def __init__(
        self,
        input_widths: Mapping[str, int],
        *,
        width: int = 128,
        rank: int = 32,
        ridge: float = 0.1,
        weight: float = WEIGHT,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.output_width = width
        self.exact = True
        self.streams = ("joint",)
        self.inputs = tuple(sorted(input_widths))
        self.num_channels = sum(input_widths.values())
        self.ridge, self.weight = ridge, weight
        self.back = Named({name: _Back(rank, input_widths[name]) for name in self.inputs})
        self.read = nn.Linear(rank, width)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        fused = self.dropout(self.read(self.factors(*self._seen(tokens))))
        return one_stream(fused, tokens)

    def objectives(self, tokens: Mapping[str, Tokens], keys: Int64[Tensor, "B"] | None = None) -> dict[str, LossTerm]:
        """`factors`, of the rows that have an input."""
        vectors, present = self._seen(tokens)
        vectors = {name: vector.detach() for name, vector in vectors.items()}
        u = self.factors(vectors, present)
        errors = [hide(vectors[name] - back(u), present[name]).square().sum(dim=1) for name, back in self.back.items()]
        losses = torch.stack(errors).sum(dim=0) + self.ridge * u.square().sum(dim=1)
        any_input = torch.stack(list(present.values())).any(dim=0)
        return {"factors": LossTerm(self.weight / self.num_channels * losses.sum(), any_input.sum())}

    def factors(
        self, vectors: Mapping[str, Float[Tensor, "B D"]], present: Mapping[str, Bool[Tensor, "B"]]
    ) -> Float[Tensor, "B R"]:
        """`A^{-1} sum_m Y_m (x_m - c_m)`, in full precision, without which A may have no root; what is absent is 0 in
        `vectors`.
        """
        first = vectors[self.inputs[0]]
        with torch.autocast(first.device.type, enabled=False):
            exact = torch.promote_types(first.dtype, torch.float32)
            return self._solved({name: vector.to(exact) for name, vector in vectors.items()}, present)

    def _solved(
        self, vectors: Mapping[str, Float[Tensor, "B D"]], present: Mapping[str, Bool[Tensor, "B"]]
    ) -> Float[Tensor, "B R"]:
        first = vectors[self.inputs[0]]
        eye = torch.eye(self.read.in_features, dtype=first.dtype, device=first.device)
        left, right = [self.ridge * eye.expand(first.shape[0], -1, -1)], []
        for name, back in self.back.items():
            there = present[name].to(first.dtype)[:, None]
            left.append((back.map @ back.map.mT) * there[:, :, None])
            right.append(((vectors[name] - back.offset) * there) @ back.map.mT)
        factor = torch.linalg.cholesky(torch.stack(left).sum(dim=0))
        return torch.cholesky_solve(torch.stack(right).sum(dim=0)[:, :, None], factor)[:, :, 0]

    def _seen(self, tokens: Mapping[str, Tokens]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        present = {name: tokens[name].present for name in self.inputs}
        return {name: hide(pooled(tokens[name]), present[name]) for name in self.inputs}, present


class _Back(nn.Module):
    """`u Y + c`: an input given back by the factors."""

    def __init__(self, rank: int, width: int) -> None:
        super().__init__()
        self.map = nn.Parameter(torch.randn(rank, width) / rank**0.5)
        self.offset = nn.Parameter(torch.zeros(width))

    def forward(self, u: Float[Tensor, "B R"]) -> Float[Tensor, "B D"]:
        return u @ self.map + self.offset
