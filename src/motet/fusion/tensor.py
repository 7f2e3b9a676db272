"""Products of channels of several inputs: of one, of every two, of every three."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import nn

from motet.core.errors import SpecError
from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.project import one_stream, pooled
from motet.nn.dropout import Dropout
from motet.nn.named import Named
from motet.nn.pooling import hide


class Tensor(FusionSpec):
    """The outer product of all inputs, each narrowed first: tensor fusion.

    >>> Tensor(width=16).build({"photo": 8, "review": 4}).output_width
    16
    """

    kind: Literal["tensor"] = "tensor"
    paper: ClassVar[str] = "Zadeh et al., Tensor Fusion Network for Multimodal Sentiment Analysis, EMNLP 2017"
    width: int = Field(default=128, gt=0, description="Width of the fused vector.")
    narrow: int = Field(default=8, gt=0, description="Channels that each input is narrowed to before it is multiplied.")
    order: int = Field(default=3, gt=0, description="How many inputs a product has at most.")
    most: int = Field(default=65536, gt=0, description="Refuse to multiply out more products than this.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the fused vector.")

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "TensorFusion":
        """Refuses inputs that have more than `most` products."""
        return TensorFusion(
            input_widths,
            width=self.width,
            narrow=self.narrow,
            order=self.order,
            most=self.most,
            dropout=self.dropout,
        )


class TensorFusion(Fusion):
    """`h = W vec([z_1; 1] o ... o [z_M; 1])`, o the outer product, `z_m = P_m x_m`, x_m the mean token of input m.

    Multiplied out, that is `h = sum_S W_S vec(z_S)` over the sets S of inputs, z_S the outer product of their z_m: 1
    for the empty one, whose W is a bias. Each W_S stands under the names of S, so an absent input's sets leave the sum
    and the others, the lower orders, stay as they are. A row without any input is the bias.

    Zadeh et al., EMNLP 2017. Deviations: z_m is linear and has `narrow` channels, or as many as x_m where those are
    fewer; the sets have no more than `order` inputs. With three inputs, as in the paper, those are all; eight have
    30,528 products instead of 43 million.

    >>> present = torch.tensor([True, False])
    >>> photo = Tokens(torch.ones(2, 1, 8), torch.ones(2, 1, dtype=torch.bool), present)
    >>> TensorFusion({"photo": 8}, width=16)({"photo": photo})["joint"].pooled[1].abs().max().item()
    0.0
    """

    def __init__(
        self,
        input_widths: Mapping[str, int],
        *,
        width: int = 128,
        narrow: int = 8,
        order: int = 3,
        most: int = 65536,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.output_width = width
        self.exact = True
        self.streams = ("joint",)
        self.inputs = tuple(sorted(input_widths))
        widths = {name: min(narrow, input_widths[name]) for name in self.inputs}
        _check_products(widths, order=order, most=most)
        self.narrow = Named({name: nn.Linear(input_widths[name], widths[name], bias=False) for name in self.inputs})
        self.products = Products(self.inputs, widths, order=order, width=width)
        nn.init.zeros_(self.products.read.weight)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        z = {name: linear(hide(pooled(tokens[name]), tokens[name].present)) for name, linear in self.narrow.items()}
        first = next(iter(z.values()))
        one = first.new_ones(first.shape[0], 1)
        fused = self.dropout(self.products(one, z))
        return one_stream(fused, tokens)


class Products(nn.Module):
    """`W_S vec(z_S)` and the same of every larger set that adds to S only names from `following`, which are sorted.

    >>> products = Products(["age", "photo"], {"age": 2, "photo": 3}, order=2, width=4)
    >>> [name for name, _ in products.named_parameters()]
    ['read.weight', 'then.age.read.weight', 'then.age.then.photo.read.weight', 'then.photo.read.weight']
    """

    def __init__(
        self, following: Sequence[str], widths: Mapping[str, int], *, order: int, width: int, entries: int = 1
    ) -> None:
        super().__init__()
        self.read = nn.Linear(entries, width, bias=False)
        self.then: Named[Products] = Named(
            {
                name: Products(
                    following[place + 1 :], widths, order=order - 1, width=width, entries=entries * widths[name]
                )
                for place, name in enumerate(following if order else ())
            }
        )

    def forward(
        self, product: Float[torch.Tensor, "B E"], z: Mapping[str, Float[torch.Tensor, "B N"]]
    ) -> Float[torch.Tensor, "B W"]:
        """`product` is `vec(z_S)`."""
        total: torch.Tensor = self.read(product)
        for name, larger in self.then.items():
            total = total + larger((product[:, :, None] * z[name][:, None]).flatten(1), z)
        return total


def _check_products(widths: Mapping[str, int], *, order: int, most: int) -> None:
    sets = (one for size in range(1, order + 1) for one in combinations(widths.values(), size))
    count = sum(math.prod(one) for one in sets)
    if count > most:
        raise SpecError(
            f"fusion.most: tensor multiplies out at most {most} products, found {count} for {', '.join(widths)}; "
            "try a lower `order`, a smaller `narrow`, or lowrank, which needs none of them"
        )
