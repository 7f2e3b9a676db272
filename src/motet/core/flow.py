"""What travels between the rooms: a value never without its mask, and everything keyed by name.

Shapes: B rows of a batch, T tokens, D width. Rows where `present` is False hold filler; whoever reads them is wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Cells:
    """One column of a batch: its tensors, each `[B, ...]`, and which rows have a cell at all."""

    values: Mapping[str, Tensor]
    present: Bool[Tensor, "B"]

    def rows(self, chosen: Int64[Tensor, "n"]) -> "Cells":
        """The same of some rows, by number."""
        return Cells({name: value[chosen] for name, value in self.values.items()}, self.present[chosen])

    def to(self, device: torch.device) -> "Cells":
        """The same cells on another device."""
        moved = {name: value.to(device, non_blocking=True) for name, value in self.values.items()}
        return Cells(moved, self.present.to(device, non_blocking=True))


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a table: `inputs` and `targets` by name, and `rows`, their numbers in the whole table.

    A `filler` holds rows of another process. `weights` say how much each row counts in the losses; None: all alike.
    """

    inputs: Mapping[str, Cells]
    targets: Mapping[str, Cells]
    rows: Int64[Tensor, "B"]
    filler: bool = False
    weights: Float[Tensor, "B"] | None = None

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        inputs = {name: cells.to(device) for name, cells in self.inputs.items()}
        targets = {name: cells.to(device) for name, cells in self.targets.items()}
        weights = None if self.weights is None else self.weights.to(device, non_blocking=True)
        return Batch(inputs, targets, self.rows.to(device, non_blocking=True), self.filler, weights)

    def as_filler(self) -> "Batch":
        """The same rows without a label: what a process does that has no rows of its own in a step.

        Their inputs stay, so that nothing is touched that the process whose rows they are does not touch as well.
        """
        targets = {name: Cells(one.values, torch.zeros_like(one.present)) for name, one in self.targets.items()}
        return Batch(self.inputs, targets, self.rows, filler=True, weights=self.weights)


@dataclass(frozen=True, slots=True)
class Tokens:
    """One input, encoded: vectors, which of them are real (`mask`), and which rows have the input (`present`).

    In a row without the input, `values` holds the learned absent token at position 0 and `mask` is True there alone.

    What an encoder may tell beside: `word`, for each token the number of the word it is part of, -1 for one of none;
    `maps` `[B, C, H, W]`, its feature maps from fine to coarse, zeros in a row without the input. Fusion, which only
    reads values, mask and presence, leaves both out.
    """

    values: Float[Tensor, "B T D"]
    mask: Bool[Tensor, "B T"]
    present: Bool[Tensor, "B"]
    word: Int64[Tensor, "B T"] | None = None
    maps: tuple[Float[Tensor, "B C H W"], ...] = ()

    def rows(self, chosen: Int64[Tensor, "n"]) -> "Tokens":
        """The same of some rows, by number."""
        word = None if self.word is None else self.word[chosen]
        maps = tuple(one[chosen] for one in self.maps)
        return Tokens(self.values[chosen], self.mask[chosen], self.present[chosen], word, maps)


@dataclass(frozen=True, slots=True)
class Fused:
    """One stream after fusion.

    `present` says in which rows the stream has anything to say, `weight` its share in the joint decision of that row:
    over all streams of a row the weights sum to 1, and a stream that is absent has weight 0 unless all are. `tokens`,
    where the operator has them, are each input's own, having seen those of the others; they are as wide as `pooled`.
    """

    pooled: Float[Tensor, "B D"]
    present: Bool[Tensor, "B"]
    weight: Float[Tensor, "B"]
    tokens: Mapping[str, Tokens] | None = None


@dataclass(frozen=True, slots=True)
class LossTerm:
    """A loss before it is averaged: the sum over the labelled rows, and how many rows that is."""

    sum: Float[Tensor, ""]
    count: Float[Tensor, ""]


class Reader(Protocol):
    """Turns the cells of one input or one task into tensors. Fitted once, on training rows; then it never changes.

    `read` takes one cell that is not absent and raises `CellError` with a reason. What it returns does not depend on
    chance and may be kept. `batch` pads and stacks n items into tensors `[n, ...]`.
    """

    @property
    def varies(self) -> bool:
        """Whether `augment` does anything; where it is False, nothing is drawn and `augment` is not called."""
        ...

    def read(self, cell: object) -> np.ndarray:
        """One cell -> one array."""
        ...

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A random variation of an item, for training; the item itself where nothing varies."""
        ...

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """Items -> tensors, first dimension `len(items)`; at least one item."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where the cells of an input or a task are; the fields are those of `Column`."""

    names: tuple[str, ...]
    media: bool = False
    missing: tuple[str, ...] = ()
    separator: str | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One input or task as the data room sees it.

    `names` are columns of the table (several: the cell is the list of their values). `media`: the cell is a path or
    bytes. `missing`: further spellings of an absent cell, beside the empty one. `separator`: a row may have several
    media, in as many columns, in a list, or as text divided by it; the cell is then the tuple of those that are there.
    `whole`: the cell of several columns is absent where one of them is, not only where all are.
    `varies_as`: another column whose random variations it follows, as a mask is mirrored with its picture. `needs`:
    inputs without which a row's cell here is worth nothing: the cell then counts as absent. `beside`: another cell of
    the row that is read along, so that the reader gets a pair, where both are there.
    """

    names: tuple[str, ...]
    reader: Reader
    media: bool = False
    missing: tuple[str, ...] = field(default=())
    separator: str | None = None
    varies_as: str | None = None
    needs: tuple[str, ...] = ()
    beside: Place | None = None
    whole: bool = False
