"""What the loop is told of the held-out rows after each epoch."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Validation:
    """Scores by task and metric, the mean relative gain over the trivial baseline, and the line a person reads.

    `gains` is that of each task whose score says anything.
    `singles[input][task]` is the primary metric of a throttle's single-input head; `losses[input][task]` is its mean
    loss and, under the empty name, that of the joint decision. `tables[table][task]` are the scores on the rows of one
    of several tables.
    """

    scores: Mapping[str, Mapping[str, float]]
    gain: float
    text: str
    gains: Mapping[str, float] = field(default_factory=dict)
    singles: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    losses: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
