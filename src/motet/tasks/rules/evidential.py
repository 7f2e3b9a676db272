"""Trusted fusion: each stream collects evidence for every class, and Dempster's rule combines what they believe.

Han et al., Trusted Multi-View Classification, ICLR 2021 (TMC). S streams, B rows, C classes.
"""

from abc import abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from motet.core.flow import Cells, LossTerm
from motet.tasks.losses import labelled_loss
from motet.tasks.rules.base import Joining, Opinion, Rule
from motet.tasks.rules.dirichlet import combined, opinion_loss
from motet.tasks.rules.heard import statements

ANNEALING_EPOCHS = 10


class Evidential(Rule):
    """Statements are read as Dirichlet opinions; absent streams are without evidence, so they are skipped exactly.

    The loss of any opinion, joint or single, is `digamma(S) - digamma(alpha_y) + l KL(Dir(alpha~) || Dir(1))`, with
    S = sum_k alpha_k, alpha~ = alpha but for 1 at the label, and l = min(1, t / 10) after t epochs (the authors' code:
    t / 50 for its data). Shares do not count. A row without any stream has an opinion without evidence.
    """

    epoch: Tensor

    def __init__(self, joining: Joining) -> None:
        super().__init__()
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    @abstractmethod
    def log_alpha(self, said: Tensor) -> Float[Tensor, "*rest C"]:
        """An output in the task's own form as an opinion."""

    @abstractmethod
    def output(self, log_alpha: Float[Tensor, "B ... C"]) -> Float[Tensor, "B ..."]:
        """An opinion as an output: its expected probabilities."""

    @abstractmethod
    def labelled(self, label: Tensor, num_classes: int) -> Bool[Tensor, "B ... C"]:
        """Which class each label is."""

    def forward(self, opinions: Mapping[str, Opinion]) -> Float[Tensor, "B ..."]:
        """Dempster's combination."""
        said, _ = statements(opinions)
        return self.output(combined(self.log_alpha(said)))

    def loss(self, output: Tensor, target: Cells) -> Float[Tensor, "B"]:
        """That of the opinion, by the weight of its label; of several labels, the mean."""
        return labelled_loss(self._row_loss, output, target)

    def terms(self, opinions: Mapping[str, Opinion], target: Cells) -> dict[str, LossTerm]:
        """None: single streams have their losses as `auxiliary`."""
        return {}

    def start_from(self, prior: Tensor) -> None:
        """Nothing to take in."""

    def epoch_end(self) -> None:
        """Count it."""
        self.epoch.add_(1)

    def _row_loss(self, output: Tensor, label: Tensor) -> Tensor:
        log_alpha = self.log_alpha(output)
        weight = (self.epoch / ANNEALING_EPOCHS).clamp(max=1)
        return opinion_loss(log_alpha, self.labelled(label, log_alpha.shape[-1]), weight)


class EvidentialOfClasses(Evidential):
    """Evidence `e = softplus(z)` for each class; the output is `log(1 + e)`, whose softmax is `alpha / S`.

    An output below 0, as only a prior is, is raised to the least that is an opinion with the same probabilities.

    >>> rule = EvidentialOfClasses(Joining(streams=("a",), width=1, shape=(2,), loss=lambda output, target: output))
    >>> rule.stated(torch.tensor([[0.0, 100.0]])).exp()
    tensor([[  1.6931, 101.0000]])
    """

    def stated(self, raw: Tensor) -> Tensor:
        """The logarithm of alpha."""
        return torch.log1p(F.softplus(raw.float()))

    def log_alpha(self, said: Tensor) -> Tensor:
        """The output itself."""
        return said - said.amin(dim=-1, keepdim=True).clamp(max=0)

    def output(self, log_alpha: Tensor) -> Tensor:
        """The opinion itself."""
        return log_alpha

    def labelled(self, label: Tensor, num_classes: int) -> Tensor:
        """By its number."""
        return label[:, None] == torch.arange(num_classes, device=label.device)


class EvidentialOfLogits(Evidential):
    """One logit z for each label, a problem of two classes: evidence `e^|z| - 1` for the likelier, none for the other.

    That is the opinion of least evidence with expected probability `sigmoid(z)`, so a stream alone says what its logit
    says. The authors have a logit for each class; with one, how much evidence there is and which way it points can not
    be told apart. The joint output `log alpha_1 - log alpha_0` keeps the expected probability of the combination; its
    loss, too, is that of the opinion of least evidence with this probability.
    """

    def stated(self, raw: Tensor) -> Tensor:
        """The logit."""
        return raw

    def log_alpha(self, said: Tensor) -> Tensor:
        """Of no and of yes."""
        return torch.stack([F.relu(-said), F.relu(said)], dim=-1)

    def output(self, log_alpha: Tensor) -> Tensor:
        """The log odds of yes."""
        return log_alpha[..., 1] - log_alpha[..., 0]

    def labelled(self, label: Tensor, num_classes: int) -> Tensor:
        """No and yes."""
        return torch.stack([label < 0.5, label > 0.5], dim=-1)
