"""Labels that are numbers: read from cells, and what bounds an error that held-out rows rarely exceed."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from torch import Tensor

from motet.core.errors import CellError


def number_of(cell: object) -> float:
    """A finite number from a cell, or `CellError`: no comma, no unit, no truth value is taken for one.

    >>> number_of(" 1.5 "), number_of(2)
    (1.5, 2.0)
    """
    value = cell.item() if isinstance(cell, np.generic) else cell
    if isinstance(value, bool) or not isinstance(value, int | float | str) or (isinstance(value, str) and "_" in value):
        raise CellError("not a number")
    try:
        number = float(value)
    except ValueError:
        raise CellError("not a number") from None
    except OverflowError:
        raise CellError("not a finite number") from None
    if not math.isfinite(number):
        raise CellError("not a finite number")
    return number


def readable_numbers(cells: Iterable[object]) -> Iterator[float]:
    """The numbers among the cells; others are passed over."""
    for cell in cells:
        try:
            yield number_of(cell)
        except CellError:
            continue


def conformal_bound(scores: Tensor, frequency: float) -> float | None:
    """The ceil((n + 1) * frequency)-th smallest of n scores of held-out rows; None where there are too few, or it is
    not finite.

    The score of a new row drawn like these is at most this with probability at least `frequency` (Vovk et al.,
    Algorithmic Learning in a Random World, 2005; Lei et al., JASA 2018).

    >>> import torch
    >>> conformal_bound(torch.tensor([3.0, 1.0, 2.0]), 0.5), conformal_bound(torch.tensor([1.0]), 0.9)
    (2.0, None)
    """
    ordered = scores.sort().values
    rank = math.ceil((len(ordered) + 1) * frequency)
    if rank > len(ordered) or not math.isfinite(ordered[rank - 1]):
        return None
    return float(ordered[rank - 1])
