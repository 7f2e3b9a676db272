"""What a frozen encoder makes of a cell, in place of the cell. N rows, T tokens, D width."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from motet.inputs.pretrained.encoder import STATES

NO_WORD = -1


@dataclass(frozen=True, slots=True)
class KnownStates:
    """Reads nothing: its items, float32 `[T, D]`, are made by an encoder; it satisfies `core.flow.Reader`.

    With `words` the last column of an item has the number of each token's word.
    """

    words: bool = False

    @property
    def varies(self) -> bool:
        """False: a state is what it is."""
        return False

    def read(self, cell: object) -> np.ndarray:
        """Never called: items are there before any cell is read."""
        raise TypeError("states are made by an encoder, not read from a cell")

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The item itself."""
        return item

    def batch(self, items: Sequence[Float32[np.ndarray, "T D"]]) -> dict[str, Tensor]:
        """`{"states": [n, T, D], "mask": [n, T]}`, zeros behind the end, and `"word": [n, T]`, -1 for none."""
        lengths = np.array([len(item) for item in items])
        mask = np.arange(lengths.max()) < lengths[:, None]
        values = np.zeros((*mask.shape, items[0].shape[1]), dtype=np.float32)
        values[mask] = np.concatenate(items)
        tensors = {"mask": torch.from_numpy(mask)}
        if self.words:
            word = np.where(mask, values[:, :, -1], NO_WORD).astype(np.int64)
            tensors["word"], values = torch.from_numpy(word), np.ascontiguousarray(values[:, :, :-1])
        return tensors | {STATES: torch.from_numpy(values)}
