"""Trusted fusion of numbers: each stream says how much evidence stands behind its value.

Ma et al., Trustworthy Multimodal Regression with Mixture of Normal-inverse Gamma Distributions, NeurIPS 2021 (MoNIG).
S streams, B rows.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from motet.core.flow import Cells, LossTerm
from motet.nn.named import Named
from motet.nn.pooling import hide
from motet.tasks.losses import labelled_loss
from motet.tasks.rules.base import Joining, Opinion, PlainRule
from motet.tasks.rules.heard import beside, each, features, simplex, statements

EVIDENCE_WEIGHT, FAINTEST = 0.01, 1e-6


class EvidentialOfNumbers(PlainRule):
    """The sum of normal-inverse-gammas NIG(gamma_m, nu_m, alpha_m, beta_m): `gamma = sum nu_m gamma_m / sum nu_m`.

    The sums are over the streams present; gamma_m is what stream m says, and a linear layer of its features gives `nu
    = softplus`, `alpha = softplus + 1` and `beta = softplus`, in every row 1, 2 and 1 at first. The other parts of the
    sum (`nu = sum nu_m`, `alpha = sum alpha_m + (M - 1) / 2`, and `beta = sum beta_m + 1/2 sum nu_m (gamma_m -
    gamma)^2`) do not change the answer. A term for each stream is its `evidence_loss`.

    Departures: the joint value is trained by the error that the task chose, not by the likelihood of the joint NIG; the
    likelihood has its gamma functions, which the authors' code leaves out. Shares do not count. In a row without any
    stream the answer is 0, the mean of the labels.
    """

    rows_alike = True

    def __init__(self, joining: Joining) -> None:
        super().__init__(joining)
        self.evidence = Named({stream: nn.Linear(joining.width, 3) for stream in joining.streams})
        for _, layer in self.evidence.items():
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, math.log(math.expm1(1.0)))

    def forward(self, opinions: Mapping[str, Opinion]) -> Float[Tensor, "B ..."]:
        """Gamma of the sum."""
        said, present = statements(opinions)
        log_nu = each(opinions, lambda stream: self._evidence(stream, opinions)[0].log())
        return (simplex(beside(log_nu, said), present) * said).sum(dim=0)

    def terms(self, opinions: Mapping[str, Opinion], target: Cells) -> dict[str, LossTerm]:
        """The loss of each stream's evidence; the count is that of all labelled rows."""
        count = target.present.sum().clamp(min=1)
        terms = {}
        for stream in sorted(opinions):
            own = Cells(target.values, target.present & opinions[stream].present)
            residual = labelled_loss(_residual, opinions[stream].output, own)
            nu, alpha, beta = self._evidence(stream, opinions)
            loss = hide(evidence_loss(residual, nu, alpha, beta), own.present)
            terms[f"evidence__{stream}"] = LossTerm(loss.sum(), count)
        return terms

    def _evidence(self, stream: str, opinions: Mapping[str, Opinion]) -> tuple[Tensor, Tensor, Tensor]:
        positive = F.softplus(self.evidence[stream](features(opinions[stream])).float()) + FAINTEST
        nu, more, beta = positive.unbind(dim=-1)
        return nu, more + 1, beta


def evidence_loss(
    residual: Float[Tensor, "B"], nu: Float[Tensor, "B"], alpha: Float[Tensor, "B"], beta: Float[Tensor, "B"]
) -> Float[Tensor, "B"]:
    """`-log p(y) + 0.01 |y - gamma| (2 nu + alpha)`, p the density of NIG with its mean and variance integrated out.

    It is a Student t with 2 alpha degrees of freedom, location gamma and squared scale `beta (1 + nu) / (nu alpha)`.
    """
    omega = 2 * beta * (1 + nu)
    spread = nu * residual.square()
    gammas = (torch.lgamma(alpha.double()) - torch.lgamma(alpha.double() + 0.5)).to(alpha.dtype)
    likelihood = (math.pi / nu).log() / 2 + (spread + omega).log() / 2 + alpha * torch.log1p(spread / omega) + gammas
    return likelihood + EVIDENCE_WEIGHT * residual.abs() * (2 * nu + alpha)


def _residual(output: Tensor, label: Tensor) -> Tensor:
    return output - label
