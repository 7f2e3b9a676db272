"""Vectors kept by name from step to step, so that a resumed run goes on with the same ones.

N is as many numbers as there are in a gradient, which is not known before the first.
"""

from collections.abc import Iterable
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from motet.nn.named import escape


class Vectors(nn.Module):
    """A vector for each name, empty until it is asked for; in `state_dict` each stands under its own name.

    >>> vectors = Vectors(["b", "a"])
    >>> vectors.beside("a", torch.ones(2)).add_(1.0)
    tensor([1., 1.])
    >>> again = Vectors(["a", "b"])
    >>> again.load_state_dict(vectors.state_dict())
    <All keys matched successfully>
    >>> again.beside("a", torch.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self._keys = {name: escape(name) for name in sorted(names)}
        for key in self._keys.values():
            self.register_buffer(key, torch.zeros(0))

    def fits(self, name: str, like: Float[Tensor, "N"]) -> bool:
        """Whether something of this length is kept under the name."""
        return self._kept(name).shape == like.shape

    def beside(self, name: str, like: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
        """The vector itself, as long as `like` and where `like` is: change it in place. Zeros if none of it fits."""
        kept = self._kept(name)
        if kept.shape == like.shape and (kept.dtype, kept.device) == (like.dtype, like.device):
            return kept
        kept = kept.to(like) if kept.shape == like.shape else torch.zeros_like(like)
        self.register_buffer(self._keys[name], kept)
        return kept

    def _kept(self, name: str) -> Float[Tensor, "N"]:
        return cast(Tensor, self._buffers[self._keys[name]])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """As torch does it, but every vector first becomes as long as the one to be loaded."""
        for key in self._keys.values():
            saved = state_dict.get(prefix + key)
            if saved is not None:
                self.register_buffer(key, torch.zeros_like(saved, device=self.get_buffer(key).device))
        super()._load_from_state_dict(state_dict, prefix, *rest)
