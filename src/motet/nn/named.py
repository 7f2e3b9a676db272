"""Modules and parameters keyed by the user's own names, whatever characters these hold."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar, cast

from torch import nn

M = TypeVar("M", bound=nn.Module)


def escape(name: str) -> str:
    """A name torch accepts for a submodule, different for different names.

    Torch refuses dots and every attribute a module already has ("type", "train", ...): dots are written as in a URL,
    and a taken name, or one that ends like our way out of it, gets a trailing underscore.

    >>> escape("photo"), escape("a.b"), escape("train")
    ('photo', 'a%2Eb', 'train_')
    """
    safe = name.replace("%", "%25").replace(".", "%2E") or "%"
    return safe + "_" if hasattr(nn.ModuleDict, safe) or safe in _TAKEN or safe.endswith("_") else safe


class Named(nn.Module, Generic[M]):
    """A mapping from names to modules, in sorted order, so that the order a user wrote never matters.

    >>> layers = Named({"b.1": nn.Linear(2, 3), "a": nn.Linear(2, 1)})
    >>> list(layers), layers["b.1"].out_features
    (['a', 'b.1'], 3)
    """

    def __init__(self, modules: Mapping[str, M]) -> None:
        super().__init__()
        self._names = {name: escape(name) for name in sorted(modules)}
        for name, escaped in self._names.items():
            self.add_module(escaped, modules[name])

    def __getitem__(self, name: str) -> M:
        return cast(M, self._modules[self._names[name]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def items(self) -> Iterator[tuple[str, M]]:
        """Names and modules, sorted by name."""
        return ((name, self[name]) for name in self._names)


_TAKEN = frozenset(vars(nn.Module())) | {"training", "_names"}
