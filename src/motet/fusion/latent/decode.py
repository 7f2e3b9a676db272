"""From the point of one input to that of another. B rows, W width of the space."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from motet.fusion.embed import mean_of_present
from motet.nn.mlp import MLP
from motet.nn.named import Named


class Decoders(nn.Module):
    """`T_ab`, a perceptron of one hidden layer for every ordered pair of inputs.

    >>> decoders = Decoders(["age", "photo"], width=4)
    >>> there = torch.tensor([True])
    >>> filled = decoders.filled({"age": torch.ones(1, 4), "photo": torch.zeros(1, 4)}, {"age": there, "photo": ~there})
    >>> filled["age"].tolist(), bool((filled["photo"] != 0).any())
    ([[1.0, 1.0, 1.0, 1.0]], True)
    """

    def __init__(self, names: Sequence[str], *, width: int) -> None:
        super().__init__()
        self.names = tuple(sorted(names))
        self.towards = Named({target: Named(self._each(target, width)) for target in self.names})

    def filled(
        self, points: Mapping[str, Float[Tensor, "B W"]], present: Mapping[str, Bool[Tensor, "B"]]
    ) -> dict[str, Float[Tensor, "B W"]]:
        """The points, those of absent inputs `mean_a T_ab(z_a)` over the inputs a row has; 0 where it has none."""
        if len(self.names) == 1:
            return dict(points)
        return {
            name: torch.where(present[name][:, None], points[name], self._predicted(name, points, present))
            for name in self.names
        }

    def loss(self, x: Float[Tensor, "n W"], y: Float[Tensor, "n W"], *, source: str, target: str) -> Float[Tensor, ""]:
        """`sum_i |T(x_i) - y_i|^2 / W`; y is held fixed, or all points would move to where they are easily predicted.

        A point on the sphere of radius sqrt(W) that is predicted as 0 costs 1.
        """
        told: Tensor = self.towards[target][source](x)
        return (told - y.detach()).square().mean(dim=1).sum()

    def _predicted(self, target: str, points: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        told = {source: decoder(points[source]) for source, decoder in self.towards[target].items()}
        return mean_of_present(told, torch.stack([present[source] for source in told], dim=1))

    def _each(self, target: str, width: int) -> dict[str, MLP]:
        return {name: MLP(width, hidden=[width], output_width=width) for name in self.names if name != target}
