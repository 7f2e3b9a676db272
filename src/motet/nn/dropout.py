"""Dropout whose mask is a function of the row, so that batches, padding and processes do not change it."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from motet.core import seed
from motet.nn.keyed import bernoulli, current_row_keys


class Keyed(nn.Module, ABC):
    """What drops by the key of the row: a probability, and the salt that tells the modules of one network apart."""

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout is a probability from 0 to below 1, found {p}")
        self.p = p
        self.salt = 0

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return f"p={self.p}"

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Drop in training; the identity in evaluation."""


class Dropout(Keyed):
    """Dropout (Srivastava et al., JMLR 2014): `y = x * m / (1 - p)`, with m = 0 at probability p, else 1.

    Deviation: inside `row_keys` the mask of element j of row b is a hash of (key_b, salt, j), j counted within the row
    (`t * D + d` for `[B, T, D]`, so padding in T changes nothing). Outside it is torch's own dropout.

    >>> import torch
    >>> from motet.nn.keyed import row_keys
    >>> dropout, x = Dropout(0.5), torch.ones(2, 8)
    >>> with row_keys(torch.tensor([5, 6])):
    ...     both = dropout(x)
    >>> with row_keys(torch.tensor([6])):
    ...     alone = dropout(x[1:])
    >>> torch.equal(both[1:], alone)
    True
    """

    def forward(self, x: Float[Tensor, "B *rest"]) -> Float[Tensor, "B *rest"]:
        """Drop in training; the identity in evaluation."""
        if not self.training or self.p == 0:
            return x
        keys = current_row_keys()
        if keys is None:
            return F.dropout(x, self.p)
        assert len(keys) == len(x), f"{len(keys)} row keys for {len(x)} rows"
        dropped = bernoulli(keys, salt=self.salt, count=x[0].numel(), probability=self.p)
        return x * dropped.logical_not_().to(x.dtype).div_(1 - self.p).view_as(x)


class IndexDropout(Keyed):
    """An index of a table replaced by 0 at probability p in training, so that entry 0, "unknown", learns to stand in.

    Keyed like `Dropout`: element j of row b is a hash of (key_b, salt, j).

    >>> import torch
    >>> IndexDropout(0.5).eval()(torch.tensor([3, 4]))
    tensor([3, 4])
    """

    def forward(self, index: Int64[Tensor, "B *rest"]) -> Int64[Tensor, "B *rest"]:
        """Replace in training; the identity in evaluation."""
        if not self.training or self.p == 0:
            return index
        keys = current_row_keys()
        if keys is None:
            return index.masked_fill(torch.rand(index.shape, device=index.device) < self.p, 0)
        dropped = bernoulli(keys, salt=self.salt, count=index[0].numel(), probability=self.p)
        return index.masked_fill(dropped.view_as(index), 0)


def salt_dropouts(module: nn.Module, run_seed: int) -> None:
    """Give every Dropout and IndexDropout in `module` a salt of its own: of its qualified name and the seed of the run.

    >>> model = nn.Sequential(Dropout(0.5), Dropout(0.5))
    >>> salt_dropouts(model, 0)
    >>> model[0].salt == model[1].salt
    False
    """
    for name, child in module.named_modules():
        if isinstance(child, Keyed):
            child.salt = seed.key(run_seed, "dropout", name)
