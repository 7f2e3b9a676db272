"""The evaluation paragraph of an experiment: what its report looks into, and how sure it says to be."""

from typing import Literal

from pydantic import Field

from motet.core.component import Frozen


class EvaluationSpec(Frozen):
    """What a run finds out about its model once it is trained; nothing of it changes the model's weights."""

    resamples: int = Field(
        default=200, ge=1, description="Draws of the scored rows from which intervals are found; more: steadier bounds."
    )
    level: float = Field(
        default=0.95, gt=0, lt=1, description="How often an interval is to hold the figure it is about."
    )
    baselines: tuple[Literal["linear", "trees"], ...] = Field(
        default=("linear",),
        description="Models to beat, fitted to simple features of the training rows: linear, trees (gradient-boosted; "
        "for tables of numbers and categories).",
    )
    subgroups: tuple[str, ...] = Field(
        default=(),
        description="Columns of the table: each task is also scored on the rows of each value, beside all others.",
    )
