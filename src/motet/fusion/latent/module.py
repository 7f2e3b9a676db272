"""Every input of a row as a point of one space, and their mean.

B rows, M inputs, W width of the space.
"""

import itertools
from collections.abc import Mapping

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from motet.core.flow import Fused, LossTerm, Tokens
from motet.fusion.base import Fusion
from motet.fusion.embed import mean_of_present
from motet.fusion.latent.align import ALIGN
from motet.fusion.latent.decode import Decoders
from motet.fusion.project import one_stream, pooled, presence
from motet.nn.dropout import Dropout
from motet.nn.mlp import MLP
from motet.nn.named import Named
from motet.nn.pooling import hide


class LatentFusion(Fusion):
    """`z_m = sqrt(W) P_m x_m / |P_m x_m|`, `h = mean_m z_m` over the inputs present, x_m the mean token of input m.

    P_m is a linear map, or with `layers` a perceptron. All z_m are points of one sphere, where no input is louder than
    another. Two losses need no label, each the mean over the pairs of inputs, and over the rows that have both:

        align: how far z_a and z_b of the same row are from each other, beside those of other rows (`motet.fusion.
               latent.align`), times `weight`
        decode: |T_ab(z_a) - z_b|^2 / W, T_ab a small perceptron, z_b held fixed, times `decode_weight`

    With `decode` the place of an absent input is taken by what is predicted of it, `z_b = mean_a T_ab(z_a)` over the
    inputs present, and h is the mean over all M places. The prediction is not stretched to the sphere: the less is
    known, the shorter it is. So `exact` is true without `decode` alone: an absent input is then removed; with it, it is
    imputed. Its own content is never read. A row without any input is 0.

    Radford et al., ICML 2021, for the space; Ngiam et al., ICML 2011, for decoding one input from another. Deviations:
    decoders predict a point of the space, not the raw input, and from one input each; no pretraining comes first.

    >>> import torch
    >>> present = torch.tensor([True, False])
    >>> photo = Tokens(torch.ones(2, 1, 8), torch.ones(2, 1, dtype=torch.bool), present)
    >>> age = Tokens(torch.ones(2, 1, 4), torch.ones(2, 1, dtype=torch.bool), torch.tensor([True, True]))
    >>> fusion = LatentFusion({"photo": 8, "age": 4}, width=16, decode=True)
    >>> fusion({"photo": photo, "age": age})["joint"].pooled.shape
    torch.Size([2, 16])
    >>> {name: int(term.count) for name, term in fusion.objectives({"photo": photo, "age": age}).items()}
    {'contrastive age photo': 1, 'decode age to photo': 1, 'decode photo to age': 1}
    """

    def __init__(
        self,
        input_widths: Mapping[str, int],
        *,
        width: int = 128,
        align: str = "contrastive",
        weight: float = 0.5,
        decode: bool = False,
        decode_weight: float = 0.5,
        layers: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.output_width = width
        self.exact = not decode
        self.streams = ("joint",)
        self.learns_alone = align != "none" or decode
        self.inputs = tuple(sorted(input_widths))
        self.kind, self.weight, self.decode_weight = align, weight, decode_weight
        self.project = Named(
            {
                name: MLP(input_widths[name], hidden=[width] * layers, output_width=width, dropout=dropout)
                for name in self.inputs
            }
        )
        self.align: nn.Module | None = None if align == "none" else ALIGN[align]()
        self.decode = Decoders(self.inputs, width=width) if decode else None
        self.dropout = Dropout(dropout)

    def points(self, tokens: Mapping[str, Tokens]) -> dict[str, Float[Tensor, "B W"]]:
        """The point of each input, zeros where it is absent."""
        return {name: self._point(name, tokens[name]) for name in self.inputs}

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        points, present = self.points(tokens), presence(tokens)
        if self.decode is not None:
            points = self.decode.filled(points, {name: tokens[name].present for name in self.inputs})
            present = present.any(dim=1, keepdim=True).expand_as(present)
        return one_stream(self.dropout(mean_of_present(points, present)), tokens)

    def objectives(self, tokens: Mapping[str, Tokens], keys: Int64[Tensor, "B"] | None = None) -> dict[str, LossTerm]:
        """`KIND A B` for every pair of inputs, and `decode A to B` for every ordered one."""
        points = self.points(tokens)
        found = {}
        for one, other in itertools.combinations(self.inputs, 2):
            both = tokens[one].present & tokens[other].present
            rows = both.nonzero()[:, 0]
            a, b = points[one][rows], points[other][rows]
            for name, loss, weight in self._losses(one, other, a, b):
                found[name] = LossTerm(weight * loss, both.sum())
        return found

    def _losses(self, one: str, other: str, a: Tensor, b: Tensor) -> list[tuple[str, Tensor, float]]:
        """Name, sum over the rows and weight of each loss of a pair, of the rows that have both."""
        num_pairs = len(self.inputs) * (len(self.inputs) - 1) // 2
        found: list[tuple[str, Tensor, float]] = []
        if self.align is not None:
            found.append((f"{self.kind} {one} {other}", self.align(a, b), self.weight / num_pairs))
        for source, target, x, y in ((one, other, a, b), (other, one, b, a)) if self.decode is not None else ():
            assert self.decode is not None
            loss = self.decode.loss(x, y, source=source, target=target)
            found.append((f"decode {source} to {target}", loss, self.decode_weight / (2 * num_pairs)))
        return found

    def _point(self, name: str, one: Tokens) -> Float[Tensor, "B W"]:
        x = self.project[name](hide(pooled(one), one.present))
        return hide(F.normalize(x, dim=1) * self.output_width**0.5, one.present)
