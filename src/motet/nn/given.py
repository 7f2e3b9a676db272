"""State that a network is given before its training and keeps as it is, such as the weights of a frozen encoder."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


class Given(nn.Module, ABC):
    """A module that says which of its state is given: it need not be kept along the way, only at the end."""

    @abstractmethod
    def given(self) -> Iterable[str]:
        """Names in this module's `state_dict`."""


def given_names(network: nn.Module) -> set[str]:
    """What of a network's state is given, by its names there."""
    return {
        f"{path}.{name}" if path else name
        for path, module in network.named_modules(remove_duplicate=False)
        if isinstance(module, Given)
        for name in module.given()
    }


def given_state(network: nn.Module) -> dict[str, Tensor]:
    """The state a network is given."""
    given = given_names(network)
    return {name: tensor for name, tensor in network.state_dict().items() if name in given}


def learned_state(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network without what it is given."""
    given = given_names(network)
    return {name: tensor for name, tensor in network.state_dict().items() if name not in given}


def load_learned(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Take back what `learned_state` gave; raises `RuntimeError` where other names are there, or are not."""
    missing, unexpected = network.load_state_dict(state, strict=False)
    wrong = sorted({*missing} - given_names(network)) + sorted(unexpected)
    if wrong:
        raise RuntimeError(f"state of another network: {', '.join(wrong[:5])}")


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """The same for the same tensors under the same names, to the bit.

    >>> fingerprint({"w": torch.zeros(2)}) == fingerprint({"w": torch.zeros(3)})
    False
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\x1f{value.dtype}{tuple(value.shape)}\x1f".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
