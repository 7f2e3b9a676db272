"""Dates and times: the time itself, scaled and piecewise linear, and where it stands in day, week, month and year."""

import re
from calendar import isleap, monthrange
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Float64
from pydantic import Field, field_validator
from torch import Tensor

from motet.core.errors import CellError
from motet.core.flow import Tokens
from motet.core.instants import moment_of, seconds_of
from motet.inputs.base import Encoder, InputSpec, Preparation, noisy, readable, single_token
from motet.inputs.number import Number, NumberPreparation
from motet.nn import MLP

Cycle = Literal["day", "week", "month", "year"]
CYCLES: Mapping[Cycle, Callable[[datetime], float]] = {
    "day": lambda at: (3600 * at.hour + 60 * at.minute + at.second) / 86_400,
    "week": lambda at: at.weekday() / 7,
    "month": lambda at: (at.day - 1) / monthrange(at.year, at.month)[1],
    "year": lambda at: (at.timetuple().tm_yday - 1) / (366 if isleap(at.year) else 365),
}
"""What part of a cycle has passed, from 0 to below 1: by the second in the day, by the day in the others."""


class DatetimePreparation(Preparation):
    """How dates are spelt, whether they have a zone, the scale and the bins of the time, and the cycles that are told.

    `batch` gives `features [n, 1 + bins + 2 * cycles]`: those of the time as a number has them (`NumberPreparation`:
    scaled, piecewise linear, nothing changes beyond one training range from either end), then for the part p of each
    cycle that has passed sin(2 pi p) and cos(2 pi p).

    The time is compared in UTC where cells have a zone; the cycles are those of the clock as the cell has it, for it is
    the local hour that shops close at.
    """

    format: str | None
    zoned: bool
    time: NumberPreparation
    cycles: tuple[Cycle, ...]

    @property
    def varies(self) -> bool:
        """Nothing does."""
        return False

    def read(self, cell: object) -> Float64[np.ndarray, "2"]:
        """Seconds since 1970, in UTC and on the cell's own clock; `CellError` where only some cells have a zone."""
        moment = moment_of(cell, spelling=self.format)
        if (moment.utcoffset() is not None) != self.zoned:
            most = "a zone" if self.zoned else "no zone"
            raise CellError(f"a time with{'out' if self.zoned else ''} a zone, where most training rows have {most}")
        return _both_clocks(moment)

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The item itself."""
        return item

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"features": [n, 1 + bins + 2 * cycles]}`."""
        time = self.time.batch([item[0] for item in items])["features"]
        moments = [_on_clock(item[1]) for item in items]
        passed = np.array([[CYCLES[cycle](moment) for cycle in self.cycles] for moment in moments]).reshape(
            len(items), -1
        )
        angles = 2 * np.pi * passed
        circles = np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(len(items), -1)
        return {"features": torch.cat([time, torch.from_numpy(circles.astype(np.float32))], dim=1)}

    def distorted(
        self, item: np.ndarray, level: float, generator: np.random.Generator, *, other: np.ndarray
    ) -> np.ndarray:
        """Earlier or later by normal noise of `level` times the deviation of the training times, within their range."""
        third = (self.time.high - self.time.low) / 3
        moved = noisy(item[:1], level * self.time.scale, generator)
        return np.asarray(item + (np.clip(moved, self.time.low + third, self.time.high - third) - item[0]))


class DatetimeEncoder(Encoder):
    """A perceptron of one hidden layer: one token.

    >>> DatetimeEncoder(features=13, width=8)({"features": torch.zeros(2, 13)}).values.shape
    torch.Size([2, 1, 8])
    """

    def __init__(self, *, features: int, width: int) -> None:
        super().__init__()
        self.output_width = width
        self.mlp = MLP(features, hidden=[width], output_width=width)

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """`features [N, F]` -> one token per row."""
        return single_token(self.mlp(values["features"]))


class Datetime(InputSpec):
    """A date, or a date and a time: the time scaled, and where it stands in day, week, month and year."""

    kind: Literal["datetime"] = "datetime"
    several: ClassVar[bool] = False
    paper: ClassVar[str] = "Gorishniy et al., On Embeddings for Numerical Features, NeurIPS 2022"
    format: str | None = Field(
        default=None,
        min_length=1,
        description="How dates are written, in the words of Python's strptime, such as '%d.%m.%Y'; ISO 8601 if nothing "
        "is said.",
    )
    cycles: tuple[Cycle, ...] | Literal["auto"] = Field(
        default="auto",
        description="Of which cycles the place in them is told: day, week, month, year; auto: those in which the "
        "training rows differ.",
    )
    width: int = Field(default=32, ge=1, description="Width of the token, and of the hidden layer.")

    @field_validator("format")
    @classmethod
    def _a_date_as_strptime_spells_it(cls, spelling: str | None) -> str | None:
        if spelling is None:
            return None
        if not re.search("%[YyGcx]", spelling):
            raise ValueError(f"{spelling!r} has no year; write %Y where its four digits stand")
        try:
            datetime.strptime("", spelling)
        except ValueError as error:
            if "does not match" not in str(error):
                raise ValueError(f"{spelling!r} is no format of Python's strptime: {error}") from None
        return spelling

    @field_validator("cycles")
    @classmethod
    def _each_once(cls, cycles: tuple[Cycle, ...] | Literal["auto"]) -> tuple[Cycle, ...] | Literal["auto"]:
        return cycles if cycles == "auto" else tuple(cycle for cycle in CYCLES if cycle in cycles)

    def fit(self, cells: Iterable[object]) -> DatetimePreparation:
        """Zone or none, as most of the training cells have it; scale, range and quantiles of these; their cycles.

        >>> Datetime().fit(["2024-03-01", "2024-03-02", "2024-03-05"]).cycles
        ('week', 'month', 'year')
        """
        moments = readable(cells, lambda cell: moment_of(cell, spelling=self.format))
        num_zoned = sum(moment.utcoffset() is not None for moment in moments)
        zoned = 2 * num_zoned > len(moments)
        clocks = [_both_clocks(moment) for moment in moments if (moment.utcoffset() is not None) == zoned]
        shown = [_on_clock(own) for _, own in clocks]
        differ: tuple[Cycle, ...] = tuple(name for name, part in CYCLES.items() if len(set(map(part, shown))) > 1)
        return DatetimePreparation(
            format=self.format,
            zoned=zoned,
            time=Number().fit([float(instant) for instant, _ in clocks]),
            cycles=differ if self.cycles == "auto" else self.cycles,
        )

    def restore(self, state: dict[str, Any]) -> DatetimePreparation:
        """The preparation a bundle holds."""
        return DatetimePreparation.model_validate(state)

    def resolved(self, preparation: Preparation) -> Self:
        """With the cycles that were found."""
        assert isinstance(preparation, DatetimePreparation)
        return self.model_copy(update={"cycles": preparation.cycles})

    def build(self, preparation: Preparation) -> DatetimeEncoder:
        """A fresh encoder for times prepared so."""
        assert isinstance(preparation, DatetimePreparation)
        features = len(preparation.time.edges) + 2 * len(preparation.cycles)
        return DatetimeEncoder(features=features, width=self.width)


def _both_clocks(moment: datetime) -> Float64[np.ndarray, "2"]:
    """In UTC, and whole seconds on the cell's own clock: rounded, the last of the year 9999 would be no date."""
    return np.array([seconds_of(moment), seconds_of(moment.replace(tzinfo=None, microsecond=0))])


def _on_clock(seconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(seconds))
