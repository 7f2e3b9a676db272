"""Cells as series: steps in a list, in text, in an array, in a file, or in several columns. T steps, C channels."""

import math
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64

from motet import media
from motet.core.component import Frozen
from motet.core.errors import CellError
from motet.core.instants import moment_of, seconds_of
from motet.core.labels import Label, label_of, list_in, set_of
from motet.core.numerals import to_float

MOST_CHANNELS = 4096
_LARGEST = float(np.finfo(np.float32).max)
_DATED = re.compile(r"\d{4}-\d", re.ASCII)
_NO_NUMBER = {"", "nan", "null", "none"}


class Steps(NamedTuple):
    """One row's series: its numbers `[T, C]`, NaN where one is missing, or its T labels; times `[T]` or None."""

    values: Float64[np.ndarray, "T C"] | list[Label]
    times: Float64[np.ndarray, "T"] | None


class Form(Frozen):
    """What a cell is made of.

    `times`: "first" where every step starts with its time, or the place of the column that has the times. `columns`:
    what each of several columns holds, one step of the series or one channel of it; None where there is one column.
    """

    labels: bool
    separator: str
    times: Literal["first"] | int | None = None
    columns: Literal["steps", "channels"] | None = None

    def read(self, cell: object) -> Steps:
        """The steps of a cell, in its order; `CellError` with the step that is wrong."""
        if self.columns == "channels":
            return self._of_channels(cell)
        if self.columns == "steps" and not isinstance(cell, list | tuple):
            cell = [cell]
        if self.times != "first":
            return Steps(self._labels(cell) if self.labels else self._numbers(cell), None)
        return self._of_pairs(cell)

    def _labels(self, cell: object) -> list[Label]:
        if isinstance(cell, list | tuple):
            return [_label(one) for one in cell]
        return set_of(cell, self.separator)

    def _numbers(self, cell: object) -> Float64[np.ndarray, "T C"]:
        return matrix_of(self._listed(cell))

    def _of_pairs(self, cell: object) -> Steps:
        """Every step is a list, its time first."""
        listed = self._listed(cell)
        plain = None if self.labels else _plain(listed)
        if plain is not None and (plain.ndim == 2 or not plain.size):
            matrix = matrix_of(plain)
            return Steps(matrix[:, 1:], _whole(matrix[:, 0]))
        steps = [_pair(step, number) for number, step in enumerate(listed, start=1)]
        times = np.array([time_of(step[0], number) for number, step in enumerate(steps, start=1)], dtype=np.float64)
        if self.labels:
            if any(len(step) > 2 for step in steps):
                raise CellError("every step has to be a list of two: its time and one label")
            return Steps([_label(step[1]) for step in steps], times)
        return Steps(matrix_of([step[1:] for step in steps]), times)

    def _of_channels(self, cell: object) -> Steps:
        """Several columns, each with a whole series: one of them may be that of the times."""
        cells = list(cell) if isinstance(cell, list | tuple) else [cell]
        times = None
        if isinstance(self.times, int):
            if not 0 <= self.times < len(cells) or cells[self.times] is None:
                raise CellError("the column of the times is empty")
            listed = self._listed(cells.pop(self.times))
            times = np.array([time_of(one, number) for number, one in enumerate(listed, start=1)], dtype=np.float64)
        if self.labels:
            return Steps(_as_many(self._labels([] if cells[0] is None else cells[0]), times), times)
        channels = [None if one is None else self._numbers(one) for one in cells]
        return Steps(_side_by_side(channels, None if times is None else len(times)), times)

    def _listed(self, cell: object) -> Sequence[object] | np.ndarray:
        """The steps as a list or an array, whatever holds them."""
        if isinstance(cell, str):
            if cell.strip().lower().endswith(".npy"):
                raise CellError("the path of an array, where numbers are expected; say `files: true`")
            written = list_in(cell.strip())
            return [part.strip() for part in cell.split(self.separator)] if written is None else written
        if isinstance(cell, Path):
            cell = media.array(cell)
        if isinstance(cell, np.ndarray):
            return cell.tolist() if cell.dtype.kind == "O" else cell
        if isinstance(cell, list | tuple):
            return cell
        if isinstance(cell, int | float | np.number | np.bool_):
            return [cell]
        raise CellError(f"expected a list of steps, found a value of type {type(cell).__name__}")


def matrix_of(steps: Sequence[object] | np.ndarray) -> Float64[np.ndarray, "T C"]:
    """Numbers step by step, NaN where one is missing; `CellError` for what is no number, and for steps of unequal size.

    >>> matrix_of([1, None, "2.5"]).tolist(), matrix_of([[1, 2], [3, None]]).tolist()
    ([[1.0], [nan], [2.5]], [[1.0, 2.0], [3.0, nan]])
    """
    array = _plain(steps)
    array = _one_by_one(list(steps)) if array is None else array
    if array.dtype.kind not in "fiub" or array.ndim not in (1, 2) or (array.ndim == 2 and not array.shape[1]):
        raise CellError(f"expected steps of numbers, found {array.dtype} of the shape {list(array.shape)}")
    if array.ndim == 2 and array.shape[1] > MOST_CHANNELS:
        raise CellError(f"{array.shape[1]} channels, of which a series has {MOST_CHANNELS} at most")
    matrix = array.astype(np.float64).reshape(len(array), -1 if array.size else 1)
    with np.errstate(invalid="ignore"):
        far = np.argwhere(np.abs(matrix) > _LARGEST)
    if len(far):
        raise CellError(f"step {int(far[0, 0]) + 1} is not finite, or too large for float32")
    return matrix


def time_of(value: object, number: int) -> float:
    """A number, or a date and time as its seconds; `CellError` names the step."""
    try:
        if isinstance(value, date | np.datetime64):
            return seconds_of(moment_of(value))
        if isinstance(value, str) and _DATED.match(value.strip()):
            return seconds_of(moment_of(value))
        return to_float(value)
    except CellError as error:
        raise CellError(f"the time of step {number}: {error}") from None


def _plain(steps: Sequence[object] | np.ndarray) -> np.ndarray | None:
    """The steps as an array, where all of them are numbers and of one size; None where they are not."""
    if isinstance(steps, np.ndarray):
        return steps
    try:
        array = np.array(steps)
    except ValueError:  # steps of unequal size
        return None
    return array if array.dtype.kind in "fiub" else None


def _one_by_one(steps: Sequence[object]) -> np.ndarray:
    """Numbers that are missing, or text; says what is wrong with which step."""
    rows = [_row(step, number) for number, step in enumerate(steps, start=1)]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise CellError(f"step {number} has {len(row)} numbers, and step 1 has {len(rows[0])}")
    return np.array(rows, dtype=np.float64)


def _row(step: object, number: int) -> list[float]:
    several = step if isinstance(step, list | tuple | np.ndarray) else [step]
    try:
        return [_number(value) for value in several]
    except CellError as error:
        raise CellError(f"step {number}: {error}") from None


def _number(value: object) -> float:
    missing = value is None or (isinstance(value, float | np.floating) and math.isnan(value))
    if missing or (isinstance(value, str) and value.strip().lower() in _NO_NUMBER):
        return math.nan
    return to_float(value)


def _label(value: object) -> Label:
    """A label that is missing is one without a letter."""
    missing = value is None or (isinstance(value, float | np.floating) and math.isnan(value))
    return "" if missing else label_of(value)


def _pair(step: object, number: int) -> Sequence[object]:
    if not isinstance(step, list | tuple | np.ndarray) or len(step) < 2:
        raise CellError(f"step {number} has to be a list, its time first")
    return list(step)


def _whole(times: Float64[np.ndarray, "T"]) -> Float64[np.ndarray, "T"]:
    if np.isnan(times).any():
        raise CellError(f"step {int(np.argmax(np.isnan(times))) + 1} has no time")
    return times


def _as_many(labels: list[Label], times: Float64[np.ndarray, "T"] | None) -> list[Label]:
    if times is not None and len(labels) != len(times):
        raise CellError(f"{len(labels)} steps and {len(times)} times")
    return labels


def _side_by_side(
    channels: Sequence[Float64[np.ndarray, "T 1"] | None], num_steps: int | None
) -> Float64[np.ndarray, "T C"]:
    """The channels of all columns; NaN in that of a column that is empty."""
    lengths = {len(channel) for channel in channels if channel is not None} | ({num_steps} - {None})
    if len(lengths) != 1:
        raise CellError(f"the columns have {' and '.join(map(str, sorted(filter(None, lengths))))} steps")
    (length,) = lengths
    empty = np.full((length or 0, 1), np.nan)
    found = [empty if channel is None else channel for channel in channels]
    if any(channel.shape[1] != 1 for channel in found if channel.size):
        raise CellError("a column of several holds one number for each step")
    return np.concatenate([channel[:, :1] for channel in found], axis=1)
