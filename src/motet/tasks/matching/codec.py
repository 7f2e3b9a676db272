"""Which item a row is about, what is answered, and how often the right partner is found. N rows, E width."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from motet.core.checks import text_of
from motet.core.errors import CellError
from motet.tasks.base import Codec, Metric
from motet.tasks.matching.ranks import Place, places

BITS = 52
DIGITS = 6  # of what is answered


class MatchingCodec(Codec):
    """Target: a number for the item a row is about, int64 `[B]`; equal cells are the same item.

    Output: the vectors of both sides, `[B, 2, E]`, of length 1, zeros for a side that is absent. `between` are the
    names of the sides.
    """

    between: tuple[str, str]

    def read(self, cell: object) -> np.ndarray:
        """A hash of the cell: its text, or what is in it; of a file its path."""
        return np.asarray(item_of(cell), dtype=np.int64)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": int64 [n]}`."""
        return {"target": torch.from_numpy(np.stack(items))}

    def decode(self, output: Float[Tensor, "N 2 E"]) -> dict[str, list[Any]]:
        """How similar the two sides of a row are, from -1 to 1, None without both; and the vector of each side."""
        vectors: np.ndarray = output.detach().double().cpu().numpy()
        there = np.any(vectors != 0, axis=2)
        similar = (vectors[:, 0] * vectors[:, 1]).sum(axis=1).clip(-1, 1).round(DIGITS)
        answers: dict[str, list[Any]] = {"": _where(there.all(axis=1), similar)}
        return answers | {name: _where(there[:, i], vectors[:, i].round(DIGITS)) for i, name in enumerate(self.between)}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """Itself: a similarity has no interval."""
        return self

    def metrics(self) -> tuple[Metric, ...]:
        """recall_at_5, recall_at_1, median_rank: each the mean of both directions, see `ranks`.

        Drawn rows ask, and all rows are there to be found. A row that lacks a side is a miss.
        """
        look = _once(places_of)

        def recall(k: int) -> Metric:
            return _metric(look, f"recall_at_{k}", lambda place: place.hits(k), np.mean)

        median = _metric(look, "median_rank", lambda place: place.ranks(), np.median, perfect=1.0)
        return recall(5), recall(1), median

    def prior(self, target: Tensor) -> Tensor:
        """A vector of one place: without an input all are alike."""
        return torch.ones(1)

    def trivial(self, prior: Float[Tensor, "1"], target: Tensor) -> Float[Tensor, "N 2 1"]:
        """The same vector for everything: it is as good as chance."""
        return prior.expand(len(target), 2, 1)

    def certain(self, target: Int64[Tensor, "N"]) -> Float[Tensor, "N 2 2"]:
        """For each item a direction of its own, spread over half a circle."""
        kinds, number = torch.unique(target, return_inverse=True)
        angle = number.double() * (torch.pi / max(len(kinds), 1))
        vector = torch.stack([angle.cos(), angle.sin()], dim=1)
        return torch.stack([vector, vector], dim=1)


def item_of(cell: object) -> int:
    """52 bits that are the same for equal cells: 5, 5.0 and "5" are one, and a file is known by its path.

    >>> item_of(5.0) == item_of("5"), item_of([1, 2]) == item_of([12])
    (True, False)
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in _parts(cell):
        digest.update(len(part).to_bytes(8, "big") + part)
    return int.from_bytes(digest.digest(), "big") >> (64 - BITS)


def _parts(cell: object) -> list[bytes]:
    if isinstance(cell, np.ndarray) and cell.ndim and not cell.dtype.hasobject:
        return [b"array " + repr((cell.shape, cell.dtype.str)).encode(), np.ascontiguousarray(cell).tobytes()]
    if isinstance(cell, bytes):
        return [b"bytes " + cell]
    if isinstance(cell, list | tuple):
        return [b"list %d" % len(cell), *(part for one in cell for part in _parts(one))]
    value = cell.item() if isinstance(cell, np.generic) else cell
    if value is None or isinstance(value, bool | int | float | str | PurePath):
        return [b"text " + text_of(value).encode("utf-8", "surrogatepass")]
    raise CellError(f"expected a cell that can be told from another, found a value of type {type(cell).__name__}")


def places_of(output: Tensor, target: Tensor) -> tuple[Place, Place] | None:
    """Both directions; None where there is no row, or an output that is not finite."""
    vectors = output.detach().double().cpu().numpy()
    if not len(vectors) or not np.isfinite(vectors).all():
        return None
    return places(vectors, target.cpu().numpy())


Look = Callable[[Tensor, Tensor], tuple[Place, Place] | None]


def _once(look: Look) -> Look:
    """The same, for one pair of tensors after another: what three metrics ask is found once."""
    last: list[Any] = [None, None, None]

    def found(output: Tensor, target: Tensor) -> tuple[Place, Place] | None:
        if last[0] is not output or last[1] is not target:
            last[:] = output, target, look(output, target)
        result: tuple[Place, Place] | None = last[2]
        return result

    return found


def _metric(
    look: Look,
    name: str,
    of: Callable[[Place], np.ndarray],
    summary: Callable[[np.ndarray], Any],
    *,
    perfect: float | None = None,
) -> Metric:
    def among(output: Tensor, target: Tensor) -> Callable[[np.ndarray], float]:
        found = look(output, target)
        if found is None:
            return lambda rows: float("nan")
        both = [of(place) for place in found]
        return lambda rows: float(np.mean([summary(one[rows]) for one in both])) if len(rows) else float("nan")

    def compute(output: Tensor, target: Tensor) -> float:
        return among(output, target)(np.arange(len(target)))

    return Metric(name, perfect is None, compute, perfect=perfect, among=among)


def _where(there: np.ndarray, values: np.ndarray) -> list[Any]:
    return [value if here else None for here, value in zip(there.tolist(), values.tolist(), strict=True)]
