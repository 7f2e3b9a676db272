"""How much each row counts in the losses."""

import math

import numpy as np
from jaxtyping import Float32, Int64

from motet.core.errors import DataError
from motet.data.problems import BadCells, Problem, shown
from motet.data.table import Table

_ADVICE = "correct them, or leave them empty: an absent weight is 1"


def loss_weights(
    table: Table, column: str | None, *, rows: Int64[np.ndarray, "rows"], train: Int64[np.ndarray, "train"]
) -> Float32[np.ndarray, "rows"] | None:
    """The weights of `rows`, among which are the training rows `train`, divided by the mean of these; None: all alike.

    A row weighs what its cell in the column says, 1 where it is absent or there is no column, times the weight of its
    table. Errors: `BadCells` for what is no finite number from 0 on, `DataError` where all weights are 0.

    >>> from motet.data import read_table
    >>> table = read_table([{"w": 3}, {"w": None}, {"w": 0.5}])
    >>> loss_weights(table, "w", rows=np.arange(3), train=np.array([0, 1])).tolist()
    [1.5, 0.5, 0.25]
    """
    weights = np.ones(len(rows)) if column is None else _said(table, column, rows)
    for part, places in zip(table.parts, table.by_part(rows), strict=True):
        weights[places] *= 1.0 if part.given is None else part.given.weight
    trained = weights[np.searchsorted(rows, train)]
    if not trained.any():
        raise DataError(f"data.weight: in column {column!r} every training row weighs 0; nothing would be learned")
    if np.ptp(trained) <= 1e-12 * trained.max():
        return None
    return np.asarray(weights / trained.mean(), dtype=np.float32)


def _said(table: Table, column: str, rows: np.ndarray) -> np.ndarray:
    cells = table.cells((column,), rows=rows)
    weights = np.array([_number(cell) for cell in cells])
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise BadCells([_problem(table, column, int(rows[place]), cells[place]) for place in bad], advice=_ADVICE)
    return weights


def _number(cell: object) -> float:
    try:
        return 1.0 if cell is None else float(cell) if isinstance(cell, str | int | float) else math.nan
    except ValueError:
        return math.nan


def _problem(table: Table, column: str, row: int, cell: object) -> Problem:
    reason = "expected a weight, a finite number from 0 on"
    return Problem(*table.locate(row), table.own_name(row, column), shown(cell), reason)
