"""Stacking: a mean whose shares are each task's own, fitted on decisions about rows that no stream was trained on.

S streams, B rows.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from motet.core.flow import Cells
from motet.nn.named import escape
from motet.tasks.rules.base import Joining, Opinion, PlainRule
from motet.tasks.rules.heard import simplex
from motet.tasks.rules.mean import outputs_of, weights_of
from motet.tasks.streams import mean_of_classes, mean_of_logits, mean_value

LEAST_SHARE = 1e-6


class Stacking(PlainRule):
    """The weighted mean with shares of its own, renormalised over the streams present; uniform until they are set.

    Wolpert, Stacked Generalization, Neural Networks 1992. Weights are on the simplex: Breiman, Stacked Regressions,
    Machine Learning 1996, found that none may be negative. What fusion gives for shares does not count. Nothing here
    is trained by gradient.
    """

    def __init__(self, joining: Joining) -> None:
        super().__init__(joining)
        self.streams = tuple(sorted(joining.streams))
        self.log_shares = _Numbers(self.streams)

    @abstractmethod
    def mean(self, opinions: Mapping[str, Opinion]) -> Tensor:
        """The mean by the weights of the opinions."""

    def forward(self, opinions: Mapping[str, Opinion]) -> Float[Tensor, "B ..."]:
        """The mean by the shares kept here."""
        return self.joined(opinions, self.log_shares())

    def joined(self, opinions: Mapping[str, Opinion], log_shares: Float[Tensor, "S"]) -> Float[Tensor, "B ..."]:
        """The mean by these shares, in the order of `streams`."""
        present = torch.stack([opinions[name].present for name in self.streams])
        weights = simplex(log_shares[:, None], present)
        shared = {n: replace(opinions[n], weight=own) for n, own in zip(self.streams, weights, strict=True)}
        return self.mean(shared)

    def set_shares(self, shares: Mapping[str, float]) -> None:
        """From now on the streams count in these proportions.

        0 counts as a millionth, so that the stream still decides where it is alone.
        """
        assert set(shares) == set(self.streams), f"shares are of {sorted(shares)}, streams are {self.streams}"
        total = sum(shares.values())
        self.log_shares.set(torch.tensor([max(shares[name] / total, LEAST_SHARE) for name in self.streams]).log())


class StackingOfClasses(Stacking):
    """Of probabilities, as `MeanOfClasses`."""

    def mean(self, opinions: Mapping[str, Opinion]) -> Tensor:
        """Log probabilities `[B, C]`."""
        return mean_of_classes(outputs_of(opinions), weights_of(opinions))


class StackingOfLogits(Stacking):
    """Of probabilities, as `MeanOfLogits`."""

    def mean(self, opinions: Mapping[str, Opinion]) -> Tensor:
        """Logits `[B, ...]`."""
        return mean_of_logits(outputs_of(opinions), weights_of(opinions))


class StackingOfNumbers(Stacking):
    """Of values, as `MeanOfNumbers`.

    >>> joining = Joining(streams=("a", "b"), width=1, shape=(), loss=lambda output, target: output)
    >>> there, half = torch.ones(1, dtype=torch.bool), torch.tensor([0.5])
    >>> one, five = (Opinion(torch.tensor([value]), torch.zeros(1, 1), there, half) for value in (1.0, 5.0))
    >>> rule = StackingOfNumbers(joining)
    >>> rule.set_shares({"a": 3.0, "b": 1.0})
    >>> rule({"a": one, "b": five})
    tensor([2.])
    """

    def mean(self, opinions: Mapping[str, Opinion]) -> Tensor:
        """Values `[B, ...]`."""
        return mean_value(outputs_of(opinions), weights_of(opinions))


def fit_shares(
    rule: nn.Module, opinions: Mapping[str, Opinion], target: Cells, *, most_steps: int = 200
) -> dict[str, float]:
    """The shares, adding up to 1, with which the joint decision has the least mean loss over the labelled rows.

    `opinions` should be out of fold: of models that had not seen these rows. Streams are removed from the rows they are
    absent from, as in use; rows without any do not count. Found by L-BFGS over the logits of the shares, from equal
    ones, in float64 but for the task's own loss; nothing is drawn. Equal where no row counts; 1 for a stream alone.
    """
    assert isinstance(rule, Stacking), f"{type(rule).__name__} has no shares"
    if len(rule.streams) == 1:
        return {rule.streams[0]: 1.0}
    known = torch.stack([opinions[name].present for name in rule.streams]).any(dim=0)
    counted = Cells(target.values, target.present & known)
    said = {name: replace(one, output=one.output.detach().double()) for name, one in opinions.items()}
    logits = known.new_zeros(len(rule.streams), dtype=torch.float64).requires_grad_()
    search = torch.optim.LBFGS([logits], max_iter=most_steps, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        rows = rule.loss(rule.joined(said, logits.log_softmax(dim=0)), counted).double()
        mean = rows.sum() / counted.present.sum().clamp(min=1)
        mean.backward()  # type: ignore[no-untyped-call]
        return mean

    with torch.enable_grad():
        search.step(loss)  # type: ignore[no-untyped-call]
    return dict(zip(rule.streams, logits.detach().softmax(dim=0).tolist(), strict=True))


class _Numbers(nn.Module):
    """A number for each name, kept and not learned; 0 at first."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.places = [escape(name) for name in names]
        for place in self.places:
            self.register_buffer(place, torch.zeros(()))

    def forward(self) -> Float[Tensor, "N"]:
        return torch.stack([self.get_buffer(place) for place in self.places])

    def set(self, numbers: Float[Tensor, "N"]) -> None:
        for place, number in zip(self.places, numbers, strict=True):
            self.get_buffer(place).copy_(number)
