"""Several numbers of a row as one task: each place is standardised, scored and given its interval by itself.

P places; an output is `[B, P, ...]`.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from motet.core.errors import CellError
from motet.tasks.base import Metric
from motet.tasks.metrics import mean_that_exists
from motet.tasks.numbers import number_of
from motet.tasks.regression.gaussian import GaussianCodec
from motet.tasks.regression.point import RegressionCodec
from motet.tasks.regression.quantile import QuantileCodec
from motet.tasks.row import RowCodec


class SeveralCodec(RowCodec):
    """Target `[B, P]`, output `[B, P, ...]`: for each place what its own codec has, `places` of one form.

    A cell is a list of P numbers, or text that `separator` divides; with one place, also a number.

    >>> place = RegressionCodec(center=10.0, scale=2.0, interval=0.9)
    >>> codec = SeveralCodec(names=("a", "b"), places=(place, place), separator="|")
    >>> codec.read([12, 8]).tolist(), codec.decode(torch.tensor([[1.0, -1.0]]))
    ([1.0, -1.0], {'': [[12.0, 8.0]]})
    """

    names: tuple[str, ...]
    places: tuple[RegressionCodec, ...] | tuple[QuantileCodec, ...] | tuple[GaussianCodec, ...] = Field(min_length=1)
    separator: str = Field(min_length=1)

    def read(self, cell: object) -> np.ndarray:
        """All the numbers, standardised; a row has all of them or none."""
        parts = parts_of(cell, self.separator)
        parts = [cell] if parts is None and len(self.places) == 1 else parts
        if parts is None or len(parts) != len(self.places):
            found = "one" if parts is None else len(parts)
            raise CellError(f"expected {len(self.places)} numbers, found {found}")
        return np.stack([self._read(number, part) for number, part in enumerate(parts)])

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": float32 [n, P]}`."""
        return {"target": torch.from_numpy(np.stack(items))}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        """The list of numbers; in "low" and "high" the lists of their intervals' ends, where every place has one."""
        decoded = [place.decode(output[:, number]) for number, place in enumerate(self.places)]
        shared = [name for name in decoded[0] if all(name in columns for columns in decoded)]
        rows = {name: zip(*(columns[name] for columns in decoded), strict=True) for name in shared}
        return {name: [list(row) for row in found] for name, found in rows.items()}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """With an interval for each place; each holds its own number as often as promised, not all at once."""
        fitted = tuple(one.calibrated(output[:, i], target[:, i]) for i, one in enumerate(self.places))
        return self.model_copy(update={"places": fitted})

    def certain(self, target: Tensor) -> Tensor:
        """What each place says if it is certain."""
        return torch.stack([one.certain(target[:, i]) for i, one in enumerate(self.places)], dim=1)

    def metrics(self) -> tuple[Metric, ...]:
        """The means over the places, of those for which the score exists; mae and rmse each in its own unit."""
        by_place = zip(*(place.metrics() for place in self.places), strict=True)
        return tuple(_mean_over_places(metrics) for metrics in by_place)

    def prior(self, target: Tensor) -> Tensor:
        """That of each place."""
        return torch.stack([one.prior(target[:, i]) for i, one in enumerate(self.places)])

    def _read(self, number: int, part: object) -> np.ndarray:
        if part is None:
            raise CellError(
                f"{self.names[number]} is absent; a row has all numbers of a task or none: "
                "make each column a task of its own where some may be missing"
            )
        try:
            return self.places[number].read(part)
        except CellError as error:
            raise CellError(f"{self.names[number]}: {error}") from None


def parts_of(cell: object, separator: str) -> list[object] | None:
    """The parts of a list, an array or text with separators; None for a cell that is one value.

    >>> parts_of("1|2", "|"), parts_of([1, None], "|"), parts_of("1", "|")
    (['1', '2'], [1, None], None)
    """
    if isinstance(cell, str) and separator in cell:
        return list(cell.split(separator))
    if isinstance(cell, np.ndarray) and cell.ndim == 1:
        return list(cell)
    return list(cell) if isinstance(cell, list | tuple) else None


def lists_of(cells: Iterable[object], separator: str, *, of_one: bool) -> list[list[float]]:
    """The lists of numbers among the cells, or with `of_one` the numbers as lists of one; others are passed over."""
    found = []
    for cell in cells:
        parts = [cell] if of_one else parts_of(cell, separator)
        try:
            found += [] if parts is None else [[number_of(part) for part in parts]]
        except CellError:
            continue
    return found


def _mean_over_places(metrics: Sequence[Metric]) -> Metric:
    def compute(output: Tensor, target: Tensor) -> float:
        scores = [one.compute(output[:, place], target[:, place]) for place, one in enumerate(metrics)]
        return mean_that_exists(np.array(scores))

    return Metric(metrics[0].name, metrics[0].higher_is_better, compute)
