"""A number for every ordered pair of names, kept from step to step, so that a resumed run goes on with the same ones.

K names.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from motet.nn.named import escape


class Pairs(nn.Module):
    """K x K numbers in float64, 0 at first; in `state_dict` the K of a name, onto itself too, stand under that name.

    The order within is that of the names as they stand in `state_dict`, whatever the order they were given in. From the
    state of other names, loaded with `strict=False`, every pair is taken over of which both are known. Loading copies
    into the numbers that are there, with `assign=True` as well; on the meta device, where none are, it does nothing.

    >>> pairs = Pairs(["b", "a"])
    >>> pairs.write(["b", "a"], np.array([[0.0, 1.0], [2.0, 0.0]]))
    >>> pairs.of("b", "a"), pairs.read(["a", "b"]).tolist()
    (1.0, [[0.0, 2.0], [1.0, 0.0]])
    >>> fewer = Pairs(["c", "b", "a"])
    >>> fewer.load_state_dict(pairs.state_dict(), strict=False).missing_keys, fewer.of("b", "a")
    (['c'], 1.0)
    """

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        by_key = sorted((escape(name), name) for name in names)
        self._keys = [key for key, _ in by_key]
        self._places = {name: place for place, (_, name) in enumerate(by_key)}
        self.numbers: Tensor
        self.register_buffer("numbers", torch.zeros(len(by_key), len(by_key), dtype=torch.float64), persistent=False)

    def of(self, one: str, other: str) -> float:
        """The number of `one` onto `other`."""
        return float(self.numbers[self._places[one], self._places[other]])

    def read(self, names: Sequence[str]) -> npt.NDArray[np.float64]:
        """Those of these names `[N, N]`, in this order: a copy, with one look at the device."""
        places = [self._places[name] for name in names]
        return self.numbers.cpu().numpy()[np.ix_(places, places)]

    def write(self, names: Sequence[str], numbers: npt.NDArray[np.float64]) -> None:
        """Put `[N, N]` in the place of what `read` gave; all other pairs keep theirs."""
        places, whole = [self._places[name] for name in names], self.numbers.cpu()
        whole.numpy()[np.ix_(places, places)] = numbers
        self.numbers.copy_(whole)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        destination.update({prefix + key: row.detach() for key, row in zip(self._keys, self.numbers, strict=True)})

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: object,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        saved = sorted(key.removeprefix(prefix) for key in state_dict if key.startswith(prefix))
        common = sorted({*saved} & {*self._keys})
        ours, theirs = ([keys.index(key) for key in common] for keys in (self._keys, saved))
        for place, key in zip(ours, common, strict=True):
            row = state_dict[prefix + key]
            if row.shape == (len(saved),):
                self.numbers[place, ours] = row[theirs].to(self.numbers)
            else:
                error_msgs.append(f"{prefix}{key} has shape {tuple(row.shape)}, expected {(len(saved),)}")
        missing_keys.extend(prefix + key for key in self._keys if key not in saved)
        if strict:
            unexpected_keys.extend(prefix + key for key in saved if key not in self._keys)
