"""Every channel of one input multiplied with every channel of the other."""

import itertools
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from motet.core.errors import SpecError
from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.bilinear_forms import FORMS, Form
from motet.fusion.project import one_stream, pooled
from motet.nn.dropout import Dropout
from motet.nn.named import Named
from motet.nn.pooling import hide

FormName = Literal["full", "mlb", "mfb", "mfh", "mutan", "block"]
MOST_INPUTS = 2


class Bilinear(FusionSpec):
    """Every channel of one input multiplied with every channel of the other: at most two inputs.

    >>> Bilinear(width=16, form="mfb").build({"photo": 8, "review": 4}).output_width
    16
    """

    kind: Literal["bilinear"] = "bilinear"
    paper: ClassVar[str] = "Jayakumar et al., Multiplicative Interactions and Where to Find Them, ICLR 2020"
    width: int = Field(default=128, gt=0, description="Width of the fused vector.")
    form: FormName = Field(
        default="full",
        description="full: a weight for every pair of channels; mlb, mfb, mfh, mutan, block: factorised, with fewer.",
    )
    rank: int | None = Field(
        default=None, gt=0, description="How many factors a factorised form has; null: as many as in its paper."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the fused vector.")

    @model_validator(mode="after")
    def _the_full_form_has_no_rank(self) -> Self:
        if self.form == "full" and self.rank is not None:
            raise ValueError("`rank` says nothing of the form full; leave it out, or choose another `form`")
        return self

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "BilinearFusion":
        """Refuses more than two inputs."""
        return BilinearFusion(input_widths, width=self.width, form=self.form, rank=self.rank, dropout=self.dropout)


class BilinearFusion(Fusion):
    """`h = x_1^T W x_2 + U_1 x_1 + U_2 x_2 + b`, x_m the mean token of input m, in sorted order of their names.

    The first term is a module of `motet.fusion.bilinear_forms`: W itself, or one of its published factorisations. Those
    have no linear terms, or have them in the biases of their factors; here they are the same beside every form, as the
    shortcuts of MLB, and factors have no biases. So an absent input's terms vanish and the other's linear map remains;
    one input alone is a linear map. A row without any input is b.

    Jayakumar et al., ICLR 2020.

    >>> present = torch.tensor([True, False])
    >>> photo = Tokens(torch.ones(2, 1, 8), torch.ones(2, 1, dtype=torch.bool), present)
    >>> age = Tokens(torch.ones(2, 1, 4), torch.ones(2, 1, dtype=torch.bool), ~present)
    >>> BilinearFusion({"photo": 8, "age": 4}, width=16)({"photo": photo, "age": age})["joint"].present
    tensor([True, True])
    """

    def __init__(
        self,
        input_widths: Mapping[str, int],
        *,
        width: int = 128,
        form: FormName = "full",
        rank: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.output_width = width
        self.exact = True
        self.streams = ("joint",)
        self.inputs = tuple(sorted(input_widths))
        _check_number(self.inputs)
        self.linear = Named({name: nn.Linear(input_widths[name], width, bias=False) for name in self.inputs})
        self.product = Named(
            {
                one: Named({other: _form(form, input_widths[one], input_widths[other], width=width, rank=rank)})
                for one, other in itertools.combinations(self.inputs, 2)
            }
        )
        self.bias = nn.Parameter(torch.zeros(width))
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        present = {name: tokens[name].present for name in self.inputs}
        vectors = {name: hide(pooled(tokens[name]), present[name]) for name in self.inputs}
        terms = [linear(vectors[name]) for name, linear in self.linear.items()]
        for one, others in self.product.items():
            for other, form in others.items():
                terms.append(hide(form(vectors[one], vectors[other]), present[one] & present[other]))
        fused = self.dropout(torch.stack(terms).sum(dim=0) + self.bias)
        return one_stream(fused, tokens)


def _form(form: FormName, left_width: int, right_width: int, *, width: int, rank: int | None) -> Form:
    chosen = FORMS[form]
    return chosen(left_width, right_width, width=width, rank=chosen.RANK if rank is None else rank)


def _check_number(inputs: tuple[str, ...]) -> None:
    if len(inputs) > MOST_INPUTS:
        raise SpecError(
            f"fusion.kind: bilinear takes at most two inputs, found {len(inputs)} ({', '.join(inputs)}); "
            "try lowrank or tensor, which multiply more"
        )
