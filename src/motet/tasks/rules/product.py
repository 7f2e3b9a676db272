"""Products of experts: what independent inputs say of a label, multiplied, with the prior counted once.

Hinton, Training Products of Experts by Minimizing Contrastive Divergence, Neural Computation 2002. For inputs that are
independent given the label it is Bayes' rule: p(y | x_1..x_M) ~ p(y)^(1 - M) prod_m p(y | x_m).
"""

from abc import abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from motet.tasks.rules.base import Joining, Opinion, PlainRule
from motet.tasks.rules.heard import beside, shares, statements


class Product(PlainRule):
    """`log p = sum_m e_m log p_m - (n - 1) log prior + const` over the n streams present, `e_m = n * share of m`.

    Plain mean shares give every stream the exponent 1. An absent stream is skipped exactly, one that is alone is
    answered with what it says, and where none is present the answer is the prior.
    """

    prior: Tensor

    def __init__(self, joining: Joining) -> None:
        super().__init__(joining)
        self.register_buffer("prior", torch.zeros(joining.shape))

    @abstractmethod
    def log_odds(self, said: Tensor) -> Tensor:
        """Statements in the logarithmic form in which experts are multiplied by adding."""

    def forward(self, opinions: Mapping[str, Opinion]) -> Float[Tensor, "B ..."]:
        """The joint output in the form of a single one."""
        said, present = statements(opinions)
        num_present = present.sum(dim=0).to(said.dtype)
        exponents = num_present * beside(shares(opinions), said)
        prior = self.log_odds(self.prior.to(said.dtype))
        return (exponents * self.log_odds(said)).sum(dim=0) - (num_present - 1) * prior

    def start_from(self, prior: Tensor) -> None:
        """The prior that every expert has counted once."""
        self.prior.copy_(prior)


class ProductOfClasses(Product):
    """Of softmaxes `[B, C]`.

    >>> rule = ProductOfClasses(Joining(streams=("a", "b"), width=1, shape=(2,), loss=lambda output, target: output))
    >>> there, thirds = torch.ones(1, dtype=torch.bool), torch.tensor([[2.0, 1.0]]).log()
    >>> opinion = Opinion(thirds, torch.zeros(1, 1), there, torch.tensor([0.5]))
    >>> rule.start_from(torch.tensor([0.5, 0.5]).log())
    >>> rule({"a": opinion, "b": opinion}).softmax(dim=1)  # 2/3 * 2/3 to 1/3 * 1/3
    tensor([[0.8000, 0.2000]])
    """

    def log_odds(self, said: Tensor) -> Tensor:
        """Log probabilities."""
        return F.log_softmax(said, dim=-1)


class ProductOfLogits(Product):
    """Of sigmoids `[B, ...]`, each label a problem of two classes: log odds add up."""

    def log_odds(self, said: Tensor) -> Tensor:
        """Logits are log odds."""
        return said
