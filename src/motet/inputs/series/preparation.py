"""Steps of a cell -> tensors: missing numbers marked, channels standardised, times in steps. N rows, T steps."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float32, Float64
from pydantic import Field
from torch import Tensor

from motet import media
from motet.core.errors import CellError
from motet.inputs.base import Preparation, noisy
from motet.inputs.series.cell import Form, Steps
from motet.inputs.vocabulary import Vocabulary

NOTHING = 1
"""The number of "no step at all", behind 0 for unknown labels: all that an empty series of labels holds."""
MISSING = np.inf
"""What stands in an item for a number that is not there: unlike NaN it equals itself."""
FARTHEST_SPANS = 2.0
"""So many times as long as the longest training series a series counts at most."""


class SeriesPreparation(Preparation):
    """How cells are written, where they are cut off, and the scales of channels and times.

    `mean` and `deviation` are those of each channel over the training steps that have it, `marked` the channels that
    were missing in some of them: each gets a second channel, 1 where the number is there and 0 where it is not. A
    missing number is the mean. `gap` is the median time from one step to the next, `span` the longest series, in gaps.
    """

    form: Form
    ordered: bool
    max_steps: int
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    marked: tuple[int, ...] = ()
    gap: float = Field(default=1.0, gt=0)
    span: float = Field(default=1.0, gt=0)
    vocabulary: Vocabulary | None = None
    jitter: float = 0.0

    @property
    def varies(self) -> bool:
        """Whether noise is added in training."""
        return self.jitter > 0

    @property
    def timed(self) -> bool:
        """Whether steps have times."""
        return self.form.times is not None

    @property
    def num_features(self) -> int:
        """How many numbers the encoder gets of each step."""
        return len(self.mean) + len(self.marked)

    def read(self, cell: object) -> Float32[np.ndarray, "T C"]:
        """`[T, C]`, the numbers of each step or the number of its label; with times `[T, 1 + C]`, these first;
        `MISSING` for a number that is not there.

        Steps with times come in the order of these, and those of one time in the order of the cell. Of a series that is
        too long the last `max_steps` are kept; of one without order, points evenly spread over the sorted ones.
        """
        values, times = self.form.read(cell)
        columns = self._columns(values)
        if times is not None:
            order = np.argsort(times, kind="stable")
            first = times[order[:1]]
            columns = np.concatenate([(times[order] - first)[:, None], columns[order]], axis=1)
        return self._kept(columns if len(columns) else self._nothing()).astype(np.float32)

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Each number plus normal noise of `jitter` deviations of its channel; times stay."""
        if not self.varies:
            return item
        item, first = item.copy(), int(self.timed)
        noise = generator.standard_normal(item[:, first:].shape) * np.array(self.deviation) * self.jitter
        item[:, first:] += noise.astype(np.float32)
        return item

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`mask [n, T]`; `steps [n, T, F]`, or of labels `index [n, T]`; with times `time [n, T]`, in gaps, from 0."""
        lengths = np.array([len(item) for item in items])
        mask = np.arange(lengths.max()) < lengths[:, None]
        flat = np.concatenate(items)
        found = {"mask": torch.from_numpy(mask)}
        if self.timed:
            far = FARTHEST_SPANS * self.span
            found["time"] = _padded(np.minimum(flat[:, 0] / np.float32(self.gap), np.float32(far)), mask)
        values = flat[:, int(self.timed) :]
        if self.vocabulary is not None:
            return found | {"index": _padded(values[:, 0].astype(np.int64), mask)}
        return found | {"steps": _padded(self._scaled(values), mask)}

    def distorted(
        self, item: np.ndarray, level: float, generator: np.random.Generator, *, other: np.ndarray
    ) -> np.ndarray:
        """Each number plus normal noise of `level` deviations of its channel, each label at probability `level` one of
        the other series; times stay.
        """
        item, first = item.copy(), int(self.timed)
        if self.vocabulary is None:
            item[:, first:] = noisy(item[:, first:], level * np.array(self.deviation), generator)
            return item
        others = generator.choice(other[:, first:], size=len(item))
        item[:, first:] = np.where(generator.random((len(item), 1)) < level, others, item[:, first:])
        return item

    def _columns(self, values: Float64[np.ndarray, "T C"] | list[bool | int | float | str]) -> np.ndarray:
        if self.vocabulary is not None:
            assert isinstance(values, list)
            numbers = np.array(self.vocabulary.numbers(values), dtype=np.float64)
            return np.where(numbers > 0, numbers + NOTHING, 0)[:, None]
        assert isinstance(values, np.ndarray)
        if not len(values):
            return np.zeros((0, len(self.mean)))
        if values.shape[1] != len(self.mean):
            raise CellError(f"expected {len(self.mean)} numbers in each step, found {values.shape[1]}")
        return np.where(np.isnan(values), MISSING, values)

    def _nothing(self) -> np.ndarray:
        """What an empty series is: one step in which nothing is seen."""
        value = np.full((1, len(self.mean)), MISSING) if self.vocabulary is None else np.full((1, 1), float(NOTHING))
        return np.concatenate([np.zeros((1, int(self.timed))), value], axis=1)

    def _kept(self, steps: np.ndarray) -> np.ndarray:
        if not self.ordered:
            steps = steps[np.lexsort(steps.T[::-1])]
            if len(steps) > self.max_steps:
                steps = steps[np.linspace(0, len(steps) - 1, self.max_steps).astype(np.int64)]
        return steps[-self.max_steps :]

    def _scaled(self, values: Float32[np.ndarray, "S C"]) -> Float32[np.ndarray, "S F"]:
        mean, deviation = self._norm
        seen = np.isfinite(values)
        with np.errstate(over="ignore"):  # a channel may hardly vary
            scaled = (np.where(seen, values, mean) - mean) / deviation
        scaled = np.clip(scaled, -media.FARTHEST, media.FARTHEST)
        return np.concatenate([scaled, seen[:, list(self.marked)]], axis=1).astype(np.float32)

    @cached_property
    def _norm(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.mean), np.array(self.deviation)


def scales_of(rows: Sequence[Steps]) -> dict[str, tuple[float, ...] | tuple[int, ...]]:
    """`mean`, `deviation` and `marked` of the steps of these rows.

    >>> scales_of([Steps(np.array([[1.0, 5.0], [3.0, np.nan]]), None)])
    {'mean': (2.0, 5.0), 'deviation': (1.0, 1.0), 'marked': (1,)}
    """
    values = np.concatenate([row.values for row in rows if isinstance(row.values, np.ndarray) and len(row.values)])
    there = np.isfinite(values)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, values, 0).sum(axis=0) / count
    deviation = np.sqrt((np.where(there, values - mean, 0) ** 2).sum(axis=0) / count)
    varies = np.where(there, values, -np.inf).max(axis=0) > np.where(there, values, np.inf).min(axis=0)
    return {
        "mean": tuple(mean.tolist()),
        "deviation": tuple(np.where(varies & (deviation > 0), deviation, 1.0).tolist()),
        "marked": tuple(np.flatnonzero(~there.all(axis=0)).tolist()),
    }


def clock_of(rows: Sequence[Steps]) -> dict[str, float]:
    """`gap` and `span` of the times of these rows.

    >>> clock_of([Steps([], np.array([5.0, 1.0, 3.0]))])
    {'gap': 2.0, 'span': 2.0}
    """
    times = [np.sort(row.times) for row in rows if row.times is not None and len(row.times)]
    gaps = np.concatenate([np.diff(one) for one in times]) if times else np.zeros(0)
    gap = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 1.0
    return {"gap": gap, "span": max([1.0, *(float(one[-1] - one[0]) / gap for one in times)])}


def _padded(values: np.ndarray, mask: np.ndarray) -> Tensor:
    """Values of all steps, in a row each, zeros behind its end."""
    whole = np.zeros((*mask.shape, *values.shape[1:]), dtype=values.dtype)
    whole[mask] = values
    return torch.from_numpy(whole)
