"""The evaluation paragraph of an experiment: what its report looks into, and how sure it says to be."""

from typing import Annotated, Literal

from pydantic import Field

from motet.core.component import Frozen

Rows = Annotated[int, Field(ge=0)] | None
"""None: as many as the training pays for, which nobody knows before it is over."""


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
    contribution_rows: Rows = Field(
        default=None,
        description="On how many of the scored rows the worth of each input is found, 0: on none; left out: 200 to "
        "1,000, as 5 % of the training's work allow.",
    )
    robustness_rows: Rows = Field(
        default=None,
        description="How many of these rows are scored with each input made noisier or absent, 0: none; left out: up "
        "to 500, none where 3 % of the training's work do not pay for 50.",
    )
    synergy_rows: Rows = Field(
        default=None,
        description="On how many of these rows it is found what combining the inputs adds, 0: on none; left out: up "
        "to 500, none where 2 % of the training's work do not pay for 50.",
    )
