"""The hazard of a row without risk factors, from which times and probabilities follow. N rows, T steps."""

import math

import numpy as np
from jaxtyping import Bool, Float64
from pydantic import model_validator

from motet.core.component import Frozen

MOST_STEPS = 1000


class Baseline(Frozen):
    """The cumulative hazard `H(t) = sum over event times s <= t of d_s / sum_{j: t_j >= s} exp(h_j)`, d_s events at s.

    Breslow, in the discussion of Cox, JRSS-B 1972. A row with log hazard h outlives t with probability
    `exp(-H(t) exp(h))`. Kept as the logarithm of H at the event times; of more than a thousand, at a thousand of them,
    evenly spaced.

    >>> baseline = Baseline.fitted(np.zeros(2), np.array([1.0, 3.0]), np.array([True, True]))
    >>> baseline.survival(np.zeros(1), 2.0).round(3), baseline.median(np.zeros(1))
    (array([0.607]), [3.0])
    """

    times: tuple[float, ...]
    log_hazards: tuple[float, ...]

    @model_validator(mode="after")
    def _one_for_each(self) -> "Baseline":
        assert 0 < len(self.times) == len(self.log_hazards), "a hazard for each time"
        return self

    @classmethod
    def fitted(
        cls, log_hazard: Float64[np.ndarray, "N"], time: Float64[np.ndarray, "N"], event: Bool[np.ndarray, "N"]
    ) -> "Baseline | None":
        """That of these rows; None where it happened to none, or a log hazard is not finite."""
        if not event.any() or not np.isfinite(log_hazard).all():
            return None
        order = np.argsort(-time, kind="stable")
        at_risk = np.logaddexp.accumulate(log_hazard[order])
        times, num_events = np.unique(time[event], return_counts=True)
        last = np.searchsorted(-time[order], -times, side="right") - 1
        log_hazards = np.logaddexp.accumulate(np.log(num_events) - at_risk[last])
        kept = np.unique(np.linspace(0, len(times) - 1, MOST_STEPS).round().astype(int))
        return cls(times=tuple(times[kept].tolist()), log_hazards=tuple(log_hazards[kept].tolist()))

    def survival(self, log_hazard: Float64[np.ndarray, "N"], time: float) -> Float64[np.ndarray, "N"]:
        """The probability of outliving a time."""
        step = int(np.searchsorted(self.times, time, side="right")) - 1
        if step < 0:
            return np.ones_like(log_hazard)
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(np.exp(-np.exp(self.log_hazards[step] + log_hazard)))

    def median(self, log_hazard: Float64[np.ndarray, "N"]) -> list[float | None]:
        """The first time that is outlived with probability one half or less; None where that lies beyond all times."""
        steps = np.searchsorted(self.log_hazards, math.log(math.log(2)) - log_hazard, side="left")
        return [self.times[step] if step < len(self.times) else None for step in steps.tolist()]
