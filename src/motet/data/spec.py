"""What the user says about the data: which tables, and which of their rows train, validate and test."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from motet.core.component import Frozen

IN_MEMORY = "<table in memory>"


def _fraction_or_table(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a fraction, a table or null")
    if isinstance(value, (int, float)) and not 0 < value < 1:
        raise ValueError(f"expected a fraction between 0 and 1, or a table; found {value}")
    return value


def _written(value: Any) -> Any:
    if value is None or isinstance(value, (str, float)):
        return value
    if isinstance(value, (list, tuple)) and value and all(isinstance(part, str) for part in value):
        return list(value)
    return str(value) if hasattr(value, "__fspath__") else IN_MEMORY


TableSource = Annotated[Any, PlainSerializer(_written)]
HeldOut = Annotated[Any, BeforeValidator(_fraction_or_table), PlainSerializer(_written)]


class DataSpec(Frozen):
    """The tables of an experiment. Paths are relative to the experiment file; from Python a table may be in memory.

    >>> DataSpec(train="reviews.csv").valid
    0.1
    """

    train: TableSource = Field(
        description="The table with the training rows: a path, or from Python a table in memory."
    )
    valid: HeldOut = Field(
        default=0.1, description="The validation rows: a fraction of the training rows, a table, or null."
    )
    test: HeldOut = Field(default=None, description="The test rows: a fraction of the training rows, a table, or null.")
    split: str | None = Field(
        default=None,
        description="The column that says train, valid (val, validation, dev) or test; beats the fractions.",
    )
    group: str | None = Field(
        default=None, description="The column whose equal values must stay on one side of the split."
    )
    id: str | None = Field(default=None, description="The column that names a row in the predictions.")
    root: str | None = Field(
        default=None, description="The folder every media path must stay inside; the table's own folder when left out."
    )
    on_bad_cell: Literal["error", "skip"] = Field(
        default="error", description="A cell that can not be read stops the run, or counts as absent."
    )
    max_bad_fraction: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="With 'skip': the share of a column's cells that may be bad before the run stops.",
    )
