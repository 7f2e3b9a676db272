"""Stacked restricted Boltzmann machines: one for each input, and one over the hidden units of all.

B rows, D width of an input, H hidden units of an input, J joint units.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn

from motet.core import seed
from motet.core.flow import Fused, LossTerm, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.project import one_stream, pooled
from motet.nn.dropout import Dropout
from motet.nn.keyed import uniform
from motet.nn.named import Named
from motet.nn.pooling import hide

WEIGHT = 0.1
SPREAD = 0.1  # of the weights at first


class RBM(FusionSpec):
    """Binary hidden units for each input and joint ones over all, learned as a model of the inputs: a deep belief net.

    Learning them needs no label: every row teaches them.

    >>> RBM(width=16, hidden=8, joint=4).build({"photo": 8, "review": 4}).output_width
    16
    """

    kind: Literal["rbm"] = "rbm"
    paper: ClassVar[str] = (
        "Hinton & Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, Science 2006; "
        "Srivastava & Salakhutdinov, Multimodal Learning with Deep Boltzmann Machines, NIPS 2012"
    )
    width: int = Field(default=128, gt=0, description="Width of the fused vector.")
    hidden: int = Field(default=64, gt=0, description="Hidden units of each input.")
    joint: int = Field(default=128, gt=0, description="Joint units over the hidden units of all inputs.")
    weight: float = Field(default=WEIGHT, ge=0, description="Weight of the losses that make it a model of the inputs.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the fused vector.")

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "RBMFusion":
        """Takes inputs of any number and width."""
        return RBMFusion(
            input_widths,
            width=self.width,
            hidden=self.hidden,
            joint=self.joint,
            weight=self.weight,
            dropout=self.dropout,
        )


class RBMFusion(Fusion):
    """`p_m = s(c_m + x_m W_m)`, `q = s(d + sum_m p_m U_m)` over the inputs present, `h = V q + b`, s the logistic.

    x_m is the mean token of input m, p_m its hidden units, q the joint ones. The same weights are those of restricted
    Boltzmann machines with these free energies, x_m being Gaussian of variance 1 and p_m binary:

        F(x_m) = |x_m - a_m|^2 / 2 - sum_j log(1 + e^(c_mj + x_m W_mj))
        F(p) = -sum_m b_m p_m - sum_j log(1 + e^(d_j + sum_m p_m U_mj))

    and the losses that need no label are `F(v) - F(v')` over the number of units v, times `weight`, each the mean over
    the rows that have what it is about. v' is what one Gibbs step makes of v, held fixed: hidden units are drawn, by
    the key of the row, and v' is their mean of v. The gradient is minus the update of contrastive divergence, CD-1
    (Hinton, Neural Computation 2002). Every machine takes what is below it as data: it learns from its own loss and
    from the tasks, what is below from the tasks alone. An absent input's units are left out of the joint ones' input
    and of their energy, exactly; a row without any has q = s(d).

    Deviations from the papers: all layers learn at once, beside the tasks, not one after the other before them;
    reconstructions are means, not draws (as in Hinton's Practical Guide, 2010); x_m is what encoders make of the cells,
    and what is absent is not inferred by Gibbs steps.

    >>> present = torch.tensor([True, False])
    >>> photo = Tokens(torch.ones(2, 1, 8), torch.ones(2, 1, dtype=torch.bool), present)
    >>> terms = RBMFusion({"photo": 8}, hidden=4, joint=4).objectives({"photo": photo}, torch.tensor([5, 6]))
    >>> {name: int(term.count) for name, term in terms.items()}
    {'rbm joint': 1, 'rbm of photo': 1}
    """

    learns_alone = True

    def __init__(
        self,
        input_widths: Mapping[str, int],
        *,
        width: int = 128,
        hidden: int = 64,
        joint: int = 128,
        weight: float = WEIGHT,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.output_width = width
        self.exact = True
        self.streams = ("joint",)
        self.inputs = tuple(sorted(input_widths))
        self.weight, self.num_hidden = weight, hidden
        self.own = Named({name: Machine({"": input_widths[name]}, hidden=hidden) for name in self.inputs})
        self.joint = Machine(dict.fromkeys(self.inputs, hidden), hidden=joint)
        self.read = nn.Linear(joint, width)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """One stream, present where any input is."""
        present = {name: tokens[name].present for name in self.inputs}
        hidden = {name: self._units(name, self._vector(tokens[name])) for name in self.inputs}
        return one_stream(self.dropout(self.read(self.joint.fields(hidden, present).sigmoid())), tokens)

    def objectives(self, tokens: Mapping[str, Tokens], keys: Int64[Tensor, "B"] | None = None) -> dict[str, LossTerm]:
        """`rbm of INPUT` for each input, and `rbm joint`."""
        present = {name: tokens[name].present for name in self.inputs}
        vectors = {name: self._vector(tokens[name]).detach() for name in self.inputs}
        found = {}
        for name, machine in self.own.items():
            loss = machine.divergence({"": vectors[name]}, {"": present[name]}, keys, gaussian=True, salt=name)
            found[f"rbm of {name}"] = self._term(loss, present[name], vectors[name].shape[1])
        hidden = {name: self._units(name, vectors[name]).detach() for name in self.inputs}
        loss = self.joint.divergence(hidden, present, keys, gaussian=False, salt="")
        any_input = torch.stack(list(present.values())).any(dim=0)
        found["rbm joint"] = self._term(loss, any_input, self.num_hidden * len(self.inputs))
        return dict(sorted(found.items()))

    def _term(self, losses: Tensor, counted: Tensor, num_units: int) -> LossTerm:
        return LossTerm(self.weight / num_units * hide(losses, counted).sum(), counted.sum())

    def _units(self, name: str, vector: Float[Tensor, "B D"]) -> Float[Tensor, "B H"]:
        everywhere = {"": torch.ones_like(vector[:, 0], dtype=torch.bool)}
        return self.own[name].fields({"": vector}, everywhere).sigmoid()

    def _vector(self, one: Tokens) -> Float[Tensor, "B D"]:
        return hide(pooled(one), one.present)


Parts = Mapping[str, Float[Tensor, "B D"]]
There = Mapping[str, Bool[Tensor, "B"]]


class Machine(nn.Module):
    """A restricted Boltzmann machine whose visible units come in parts, any of which a row may lack.

    >>> machine, there = Machine({"a": 2}, hidden=3), {"a": torch.tensor([True])}
    >>> machine.energy({"a": torch.zeros(1, 2)}, there, gaussian=False).detach() + 3 * torch.tensor(2.0).log()
    tensor([0.])
    """

    def __init__(self, widths: Mapping[str, int], *, hidden: int) -> None:
        super().__init__()
        self.parts = Named({name: _Part(width, hidden) for name, width in widths.items()})
        self.bias = nn.Parameter(torch.zeros(hidden))

    def fields(self, visible: Parts, present: There) -> Float[Tensor, "B H"]:
        """`c + sum_m v_m W_m` over the parts present."""
        terms = [hide(visible[name] @ part.weight, present[name]) for name, part in self.parts.items()]
        return torch.stack(terms).sum(dim=0) + self.bias

    def energy(self, visible: Parts, present: There, *, gaussian: bool) -> Float[Tensor, "B"]:
        """The free energy of each row, of the parts present."""
        found = -F.softplus(self.fields(visible, present)).sum(dim=1)
        for name, part in self.parts.items():
            v = visible[name]
            own = (v - part.bias).square().sum(dim=1) / 2 if gaussian else -(v * part.bias).sum(dim=1)
            found = found + hide(own, present[name])
        return found

    @torch.no_grad()
    def reconstructed(
        self, visible: Parts, present: There, keys: Int64[Tensor, "B"] | None, *, gaussian: bool, salt: str
    ) -> dict[str, Tensor]:
        """Hidden units drawn, and the means of the visible ones that go with them."""
        likely = self.fields(visible, present).sigmoid()
        drawn = (_chances(likely, keys, salt) < likely).to(likely.dtype)
        means = {name: drawn @ part.weight.mT + part.bias for name, part in self.parts.items()}
        return means if gaussian else {name: mean.sigmoid() for name, mean in means.items()}

    def divergence(
        self, visible: Parts, present: There, keys: Int64[Tensor, "B"] | None, *, gaussian: bool, salt: str
    ) -> Float[Tensor, "B"]:
        """`F(v) - F(v')` of each row."""
        again = self.reconstructed(visible, present, keys, gaussian=gaussian, salt=salt)
        first, second = (self.energy(one, present, gaussian=gaussian) for one in (visible, again))
        return first - second


class _Part(nn.Module):
    """The weights of some visible units, and their biases."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(SPREAD * torch.randn(width, hidden))
        self.bias = nn.Parameter(torch.zeros(width))


def _chances(like: Float[Tensor, "B H"], keys: Int64[Tensor, "B"] | None, salt: str) -> Float[Tensor, "B H"]:
    """A number from 0 to 1 for each hidden unit; drawn in turn where rows have no keys."""
    if keys is None:
        return torch.rand(like.shape, device=like.device)
    return uniform(keys, salt=seed.key("rbm", salt), count=like.shape[1])
