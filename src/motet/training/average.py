"""The average of the weights along the way, which is what gets validated and kept."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from motet.training.sharding import local, parts


class WeightAverage:
    """An exponential moving average of everything that is trained: m <- d m + (1 - d) p after each step.

    d = min(decay, (1 + t) / (10 + t)) at step t = 0, 1, ..., so that a short run is not held back by its first weights.
    Noise of single steps averages out, and the learning rate need not decay for it: Polyak & Juditsky, SIAM J. Control
    and Optimization 1992; with a decay, Tarvainen & Valpola, NeurIPS 2017. With decay 0 the average is the weights.

    >>> layer = nn.Linear(1, 1, bias=False)
    >>> average = WeightAverage(layer, decay=0.9)
    >>> start = layer.weight.item()
    >>> with torch.no_grad():
    ...     _ = layer.weight.add_(10.0)
    >>> average.update(step=0)
    >>> with average.applied():
    ...     round(layer.weight.item() - start, 4)
    9.0
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self._trained = {name: one for name, one in network.named_parameters() if one.requires_grad} if decay else {}
        self._mean = {name: one.detach().clone() for name, one in self._trained.items()}

    @torch.no_grad()
    def update(self, *, step: int) -> None:
        """Take in the weights after `step`."""
        if self._mean:
            fresh = 1 - min(self.decay, (1 + step) / (10 + step))
            mean, trained = ([local(one) for one in all_.values()] for all_ in (self._mean, self._trained))
            torch._foreach_lerp_(mean, trained, fresh)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within this block the network has the average for its weights."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def tensors(self) -> dict[str, Tensor]:
        """A copy of the average, by parameter name, divided where the weights are; empty with decay 0."""
        return {name: one.clone() for name, one in self._mean.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from an average that `tensors` gave, whole or divided."""
        for name, one in parts(tensors, self._mean).items():
            local(self._mean[name]).copy_(local(one))

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, one in self._trained.items():
            mean, trained = local(self._mean[name]), local(one)
            former = mean.clone()
            mean.copy_(trained)
            trained.copy_(former)
