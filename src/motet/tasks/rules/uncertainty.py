"""Quality-aware fusion: in each row the streams count as much as their energy says they are sure.

Zhang et al., Provable Dynamic Fusion for Low-Quality Multimodal Data, ICML 2023 (QMF). S streams, B rows. The same for
numbers, whose confidence is their precision, is the product of Gaussian experts in `precision.py`.
"""

from abc import abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from motet.core.flow import Cells, LossTerm
from motet.tasks.rules.base import Opinion, PlainRule
from motet.tasks.rules.heard import simplex, statements

TEMPERATURE, RANK_WEIGHT, FAINTEST = 10.0, 0.1, 1e-6


class Uncertainty(PlainRule):
    """`z = sum_m w_m z_m`, `w_m = s(E_m) / sum_s s(E_s)` over the streams present, E_m the free energy, s softplus.

    The weights pass no gradient back. A term for each stream ranks its confidences `c = E / 10` as its losses L, with
    `k = (L - min L) / (max L - min L)` over the labelled rows that have it: for each such row i and the next one j,
    `0.1 max(0, sign(k_i - k_j) (c_i - c_j) + |k_i - k_j|)`, averaged. Who has the greater loss is to be the less sure.

    Departures from the authors' code: weights add up to 1 over the streams present, and s keeps them positive where
    energies are below 0 (there, `w_m = E_m / 10`); rows are ranked by their present loss, not by the sum of their
    losses in all epochs so far, which would be a state for each row; the margin is added as in confidence ranking
    (Moon et al., ICML 2020), where the code subtracts it. Weights are held fixed as in the code for text and pictures
    (in that for depth images they are not), and 0.1 is the factor of the code for depth images (for text and pictures
    it is 1).
    """

    rows_alike = True

    @abstractmethod
    def energy(self, said: Tensor) -> Tensor:
        """How sure each statement is, one value for each decision in it."""

    @abstractmethod
    def losses(self, said: Tensor, label: Tensor) -> Tensor:
        """The loss of each decision."""

    @abstractmethod
    def weigh(self, weights: Tensor, said: Tensor) -> Tensor:
        """The sum over the streams, `weights` having one value for each decision."""

    def forward(self, opinions: Mapping[str, Opinion]) -> Float[Tensor, "B ..."]:
        """The weighted statements."""
        said, present = statements(opinions)
        energy = self.energy(said.detach())
        heard = present.reshape(*present.shape[:2], *[1] * (energy.ndim - 2))
        return self.weigh(simplex((F.softplus(energy) + FAINTEST).log(), heard), said)

    def terms(self, opinions: Mapping[str, Opinion], target: Cells) -> dict[str, LossTerm]:
        """The rank regulariser of each stream; exactly 0 where fewer than two rows can be ranked."""
        return {f"rank__{stream}": self._rank(opinion, target) for stream, opinion in sorted(opinions.items())}

    def _rank(self, opinion: Opinion, target: Cells) -> LossTerm:
        rows = (target.present & opinion.present).nonzero().squeeze(dim=1)
        said, label = opinion.output[rows].float(), target.values["target"][rows]
        if len(rows) < 2:
            return LossTerm(said[:0].sum(), torch.ones_like(target.present.sum()))
        wrong = _wrongly_ranked(self.energy(said) / TEMPERATURE, self.losses(said.detach(), label))
        return LossTerm(RANK_WEIGHT * wrong.reshape(len(rows), -1).mean(dim=1).sum(), (rows >= 0).sum())


class UncertaintyOfClasses(Uncertainty):
    """Of logits `[B, C]`: `E = log sum_c exp z_c`."""

    def energy(self, said: Float[Tensor, "*rest C"]) -> Float[Tensor, "*rest"]:
        """The shift of all logits, of which the class does not depend, counts: it is what ranking trains."""
        return said.logsumexp(dim=-1)

    def losses(self, said: Float[Tensor, "N C"], label: Tensor) -> Float[Tensor, "N"]:
        """Cross-entropy."""
        return F.cross_entropy(said, label, reduction="none")

    def weigh(self, weights: Float[Tensor, "S B"], said: Float[Tensor, "S B C"]) -> Float[Tensor, "B C"]:
        """One weight for all logits of a stream."""
        return (weights[..., None] * said).sum(dim=0)


class UncertaintyOfLogits(Uncertainty):
    """Of one logit for each label, `[B, ...]`: every label has two classes with logits z/2 and -z/2.

    `E = log(exp(z/2) + exp(-z/2))` grows with |z|; with logits 0 and z, as equal a decision, it would grow with z.
    """

    def energy(self, said: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest"]:
        """Of each label."""
        return said.abs() / 2 + F.softplus(-said.abs())

    def losses(self, said: Float[Tensor, "N ..."], label: Float[Tensor, "N ..."]) -> Float[Tensor, "N ..."]:
        """Cross-entropy of each label."""
        return F.binary_cross_entropy_with_logits(said, label, reduction="none")

    def weigh(self, weights: Float[Tensor, "S B ..."], said: Float[Tensor, "S B ..."]) -> Float[Tensor, "B ..."]:
        """A weight for each label."""
        return (weights * said).sum(dim=0)


def _wrongly_ranked(confidence: Float[Tensor, "N ..."], losses: Float[Tensor, "N ..."]) -> Float[Tensor, "N ..."]:
    """By how much each row, beside the next, is too sure for its loss."""
    low, high = losses.amin(dim=0), losses.amax(dim=0)
    worse = (losses - low) / (high - low).clamp(min=torch.finfo(losses.dtype).tiny)
    ahead = worse - worse.roll(-1, dims=0)
    return F.relu(ahead.sign() * (confidence - confidence.roll(-1, dims=0)) + ahead.abs())
