"""Bags: a row has several cells of one kind, in no order. Each is read and encoded by itself, and only those there are.

Shapes: N rows, K parts of the longest bag, t tokens of one part, D width.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import SerializeAsAny
from torch import Tensor

from motet import media
from motet.core.errors import CellError
from motet.core.flow import Tokens
from motet.inputs.base import Encoder, Preparation
from motet.nn import current_row_keys, hide, keys_of, row_keys

THERE = "there"
"""Beside the tensors of the parts `[n, K, ...]`: which of the K places have one."""


MOST = 64
"""So many parts a row may have: a batch is padded to its fullest row."""


class BagPreparation(Preparation):
    """Every part is prepared as `part` prepares one; items of all parts have one shape.

    >>> from motet.inputs import Image
    >>> bag = BagPreparation(part=Image().fit([np.zeros((8, 8), dtype=np.uint8)]))
    >>> bag.read((np.zeros((8, 8)), np.ones((8, 8)))).shape
    (2, 8, 8, 1)
    """

    part: SerializeAsAny[Preparation]

    @property
    def varies(self) -> bool:
        """Whether the parts do."""
        return self.part.varies

    @property
    def variations(self) -> Mapping[str, object]:
        """Those of the parts."""
        return self.part.variations

    def read(self, cell: object) -> np.ndarray:
        """`[n, *item]`: parts are sorted by their content, since a bag has no order; a cell that is one part is a bag
        of one. Errors: `CellError` with the `place` of the first bad part.
        """
        parts = parts_of(cell)
        if len(parts) > MOST:
            raise CellError(f"{len(parts)} in one row, of which a model reads {MOST} at most")
        items = [self._read(part, place) for place, part in enumerate(parts)]
        if not items:
            raise CellError("a list without anything in it")
        return np.stack([items[index] for index in sorted(range(len(items)), key=lambda one: items[one].tobytes())])

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A variation of each part by itself."""
        return np.stack([self.part.augment(part, generator) for part in item])

    def distorted(
        self, item: np.ndarray, level: float, generator: np.random.Generator, *, other: np.ndarray
    ) -> np.ndarray:
        """Each part distorted by itself."""
        places = generator.integers(len(other), size=len(item))
        parts = [
            self.part.distorted(part, level, generator, other=other[place])
            for part, place in zip(item, places, strict=True)
        ]
        return np.stack(parts)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """The tensors of the parts, `[n, K, ...]`, zeros behind the end of a bag, and `there [n, K]`, the real ones."""
        there = torch.arange(max(map(len, items))) < torch.tensor(list(map(len, items)))[:, None]
        parts = self.part.batch([part for item in items for part in item])
        return {name: _padded(value, there) for name, value in parts.items()} | {THERE: there}

    def _read(self, part: object, place: int) -> np.ndarray:
        try:
            return self.part.read(part)
        except CellError as error:
            raise CellError(str(error), place=place) from None


class BagEncoder(Encoder):
    """`[E(x_1); ...; E(x_n)]`, the tokens of all parts of a row side by side, E the same encoder for every one.

    One call encodes the parts of all rows, and none that is not there. Places within a row have dropout keys of their
    own. Parts in another order give the same tokens in that order, so what pools them can not tell. The tokens are no
    map: there is no `output_grid`.

    >>> from motet.inputs import ImageEncoder
    >>> bag = BagEncoder(ImageEncoder(size=(8, 8), channels=1, first=4, width=6, dropout=0.0))
    >>> there = torch.tensor([[True, True, True], [True, False, False]])
    >>> bag({"pixels": torch.zeros(2, 3, 1, 8, 8), "there": there}).mask.sum(dim=1)
    tensor([48, 16])
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.output_width = encoder.output_width
        self.encoder = encoder

    def at(self, progress: float) -> bool:
        """As the encoder of the parts."""
        return self.encoder.at(progress)

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """The tensors of the parts `[N, K, ...]` and `there [N, K]` -> `[N, K * t, D]`."""
        there: Bool[Tensor, "N K"] = values[THERE]
        parts = {name: value.flatten(0, 1) for name, value in values.items() if name != THERE}
        whole = torch.compiler.is_compiling() or bool(there.all())
        encoded = self._encode(parts, there) if whole else self._scattered(parts, there)
        x, mask = (one.reshape(*there.shape, *one.shape[1:]) for one in (encoded.values, encoded.mask))
        mask = mask & there[:, :, None]
        return Tokens(hide(x, mask).flatten(1, 2), mask.flatten(1, 2), there.any(dim=1))

    def _encode(self, parts: Mapping[str, Tensor], there: Bool[Tensor, "N K"], chosen: Tensor | None = None) -> Tokens:
        keys = part_keys(there)
        if chosen is not None:
            parts = {name: value[chosen] for name, value in parts.items()}
            keys = None if keys is None else keys[chosen]
        with row_keys(keys):
            tokens: Tokens = self.encoder(parts)
        return tokens

    def _scattered(self, parts: Mapping[str, Tensor], there: Bool[Tensor, "N K"]) -> Tokens:
        """The tokens of the parts that are there, each at its place among N * K."""
        chosen = there.flatten().nonzero().squeeze(1)
        found = self._encode(parts, there, chosen)
        values, mask, present = (
            one.new_zeros(there.numel(), *one.shape[1:]).index_copy(0, chosen, one)
            for one in (found.values, found.mask, found.present)
        )
        return Tokens(values, mask, present)


def part_keys(there: Bool[Tensor, "N K"]) -> Tensor | None:
    """A dropout key for each of the N * K places, from the key of its row and its number; None where rows have none.

    >>> with row_keys(torch.tensor([7])):
    ...     keys = part_keys(torch.ones(1, 3, dtype=torch.bool))
    >>> len(set(keys.tolist()))
    3
    """
    keys = current_row_keys()
    if keys is None:
        return None
    return torch.stack([keys_of(keys, "part", place) for place in range(there.shape[1])], dim=1).flatten()


def parts_of(cell: object) -> Sequence[object]:
    """What a cell holds: the parts of a tuple, or of a list of paths or bytes; any other is one part.

    >>> parts_of(("a.png", "b.png")), parts_of("a.png")
    (('a.png', 'b.png'), ('a.png',))
    """
    if isinstance(cell, list) and media.several(cell):
        return tuple(part for part in cell if part is not None)
    return cell if isinstance(cell, tuple) else (cell,)


def only_part(cell: object) -> object:
    """The part of a cell that should hold one; raises `CellError` where it holds several."""
    parts = parts_of(cell)
    if len(parts) != 1:
        raise CellError(f"{len(parts)} in one row, where every training row has one")
    return parts[0]


def _padded(value: Float[Tensor, "P *rest"], there: Bool[Tensor, "n K"]) -> Float[Tensor, "n K *rest"]:
    whole = value.new_zeros(*there.shape, *value.shape[1:])
    whole[there] = value
    return whole
