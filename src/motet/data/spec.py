"""What the user says about the data: which tables, which of their rows train, validate and test, and how often."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from motet.core.component import Frozen
from motet.data.sources import as_given, without_training, written


def _held_out(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a fraction, a table or null")
    if isinstance(value, (int, float)):
        if not 0 < value < 1:
            raise ValueError(f"expected a fraction between 0 and 1, or a table; found {value}")
        return value
    return without_training(as_given(value))


Temperature = Annotated[float, Field(gt=0)]
Shares = Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)]
TableSource = Annotated[Any, BeforeValidator(as_given), PlainSerializer(written)]
HeldOut = Annotated[Any, BeforeValidator(_held_out), PlainSerializer(written)]


class DataSpec(Frozen):
    """The tables of an experiment. Paths are relative to the experiment file; from Python a table may be in memory.

    >>> DataSpec(train="reviews.csv").valid
    0.1
    """

    train: TableSource = Field(
        description="The table with the training rows: a path, from Python a table in memory, a mapping that says more "
        "of a table, or a list of these. A table that lacks a column lacks that input, or the labels of that task."
    )
    valid: HeldOut = Field(
        default=0.1,
        description="The validation rows: a fraction of the training rows, of each table its own; a table or a list of "
        "them; or null.",
    )
    test: HeldOut = Field(default=None, description="The test rows, in the same ways.")
    split: str | None = Field(
        default=None,
        description="The column that says train, valid (val, validation, dev) or test; beats the fractions in the "
        "tables that have it.",
    )
    split_seed: int | None = Field(
        default=None,
        ge=0,
        description="The seed of a split by fractions; training.seed if left out. `motet compare` sets it, so that all "
        "seeds are scored on the same rows.",
    )
    group: str | None = Field(
        default=None, description="The column whose equal values must stay on one side of the split."
    )
    id: str | None = Field(default=None, description="The column that names a row in the predictions.")
    weight: str | None = Field(
        default=None,
        description="The column that says how much a row counts in the losses: numbers from 0 on; an absent cell is 1. "
        "They are divided by their mean over the training rows.",
    )
    sampling: Literal["size", "equal"] | Temperature | Shares = Field(
        default="size",
        description="How often each table's rows are drawn in training: size: every row once an epoch; equal: as many "
        "of each table; a temperature T: in proportion to rows^(1/T); or a number for each table, by name.",
    )
    resample: str | None = Field(
        default=None, description="The task of classes whose classes are drawn equally often in training."
    )
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
