"""What of an experiment and its tables is legal, and yet likely a mistake."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np

from motet.core.checks import did_you_mean
from motet.core.errors import CellError
from motet.data import DataSpec, Splits, Table, groups_apart, leakage, present_cells
from motet.inputs.base import InputSpec
from motet.model.columns import Labels, input_place, named_columns
from motet.tasks.base import Codec, TaskSpec

MEANS = {"valid": "it has no say in which weights are kept", "test": "it is not scored"}


def doubts(
    table: Table,
    splits: Splits,
    data: DataSpec,
    *,
    inputs: Mapping[str, InputSpec],
    tasks: Mapping[str, tuple[TaskSpec, Codec]],
    labels: Mapping[str, Labels],
    root: Path | None,
) -> tuple[str, ...]:
    """One line for each doubt; `DataError` when a group stands on two sides of the split."""
    used = {column: one.media for name, one in inputs.items() for column in input_place(name, one).names}
    specs = {name: spec for name, (spec, _) in tasks.items()}
    lines = leakage(table, splits, used, group=data.group, root=root)
    lines += _unread(table, data, used, specs)
    if data.group is None:
        apart = sorted({spec.batched_by for spec in specs.values() if spec.batched_by is not None})
        lines += [line for column in apart for line in groups_apart(table, splits, column)]
    else:
        lines += _of_groups(table, splits, data.group, inputs)
    for name, (_, codec) in tasks.items():
        lines += _of_held_out(name, labels[name], codec, table, splits, root)
    return tuple(lines)


def _unread(table: Table, data: DataSpec, of_inputs: Collection[str], tasks: Mapping[str, TaskSpec]) -> list[str]:
    """A warning for each column that was renamed to what nothing reads, and each table that feeds no input."""
    read = {*of_inputs, *(column for name, job in tasks.items() for column in named_columns(name, job))}
    read |= {column for column in (data.split, data.group, data.id, data.weight) if column is not None}
    warnings = []
    for part in table.parts:
        renamed = part.given.rename if part.given is not None else {}
        own = {*read, part.given.own_split} if part.given is not None else read
        warnings += [
            f"{part.name}: nothing reads {new!r}, which {old!r} was renamed to{did_you_mean(new, sorted(read))}"
            for old, new in renamed.items()
            if new not in own
        ]
        if part.columns is not None and part.columns.isdisjoint(of_inputs):
            wanted = ", ".join(map(repr, sorted(of_inputs)))
            warnings.append(f"{part.name}: has none of the columns that inputs read: {wanted}")
    return warnings


def _of_groups(table: Table, splits: Splits, group: str, inputs: Mapping[str, InputSpec]) -> Iterator[str]:
    """An input that is the group: no held-out row has a value that was trained on; groups that are no groups."""
    for name, spec in inputs.items():
        if group in input_place(name, spec).names:
            yield (
                f"inputs.{name}: reads {group!r}, which data.group keeps apart, so no held-out row has a value that a "
                "training row has; leave this input out"
            )
    named = [cell for cell in table.cells((group,), rows=splits.rows) if cell is not None]
    if len(named) > 1 and len(set(map(str, named))) == len(named):
        yield f"data.group: each of the {len(named):,} rows has its own {group!r}, so there are no groups to keep whole"


def _of_held_out(
    name: str, labels: Labels, codec: Codec, table: Table, splits: Splits, root: Path | None
) -> Iterator[str]:
    """Held-out parts without a label, or with labels that no training row has: misspelt, or too rare to be split."""
    for part, rows in (("valid", splits.valid), ("test", splits.test)):
        number, unknown = 0, list[object]()
        for cell in label_cells(labels, table, rows, root):
            number += 1
            unknown += [] if _knows(codec, cell) else [cell]
        if not number and len(rows):
            yield f"tasks.{name}: none of the {len(rows):,} {part} rows has a label, so {MEANS[part]}"
        if unknown:
            count = f"{len(unknown)} {part} label{'s' if len(unknown) > 1 else ''}"
            yield f"tasks.{name}: {count} that no training row has, such as {unknown[0]!r}; they count as misses"


def label_cells(labels: Labels, table: Table, rows: np.ndarray, root: Path | None) -> Iterator[object]:
    """What these rows have of a task's labels."""
    return present_cells(table, labels.place, rows, root=root, beside=labels.beside)


def _knows(codec: Codec, cell: object) -> bool:
    try:
        return codec.knows(cell)
    except CellError:  # not a label at all: reported with its place when the cells are read
        return True
