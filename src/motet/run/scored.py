"""The rows a run is scored on, answered by its trained model: what every part of its report starts from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from motet.data import Table
from motet.evaluation.sampling import Sampling
from motet.evaluation.spec import EvaluationSpec
from motet.model import Collected, Network, collect
from motet.run.judge import batches_of, check_finite
from motet.run.prepare import Fitted, Prepared
from motet.training import Position


@dataclass(frozen=True, slots=True)
class Scored:
    """`rows` are numbers of the table's rows, N of them, `found` what the network says of them, in the same order.

    `groups` is the number of each row's group where the rows are split by group, else None.
    """

    prepared: Prepared
    network: Network
    position: Position
    part: Literal["test", "valid"]
    rows: Int64[np.ndarray, "N"]
    found: Collected
    groups: Int64[np.ndarray, "N"] | None

    @property
    def fitted(self) -> Fitted:
        """The resolved experiment, and what was fitted on its training rows."""
        return self.prepared.fitted

    @property
    def spec(self) -> EvaluationSpec:
        """What is asked of the report."""
        return self.fitted.experiment.evaluation

    @property
    def seed(self) -> int:
        """That of the run: the same run gives the same report."""
        return self.fitted.experiment.training.seed

    def groups_of(self, task: str) -> Int64[np.ndarray, "n"] | None:
        """The groups of the rows that are labelled for the task, in the order of `found.scored(task)`."""
        return None if self.groups is None else self.groups[self.found.labelled[task].numpy()]

    def scored(self, task: str) -> tuple[Tensor, Tensor]:
        """Output and target of the rows labelled for the task."""
        return self.found.scored(task)


def scored_rows(prepared: Prepared, network: Network, position: Position) -> Scored:
    """The test rows, or the validation rows where there are none; test rows are read here and nowhere else.

    Raises `RunError` where an answer is not finite.
    """
    splits = prepared.fitted.splits
    part: Literal["test", "valid"] = "test" if len(splits.test) else "valid"
    rows = splits.test if part == "test" else splits.valid
    found = collect(network, batches_of(prepared.dataset, rows))[0]
    check_finite(found)
    return Scored(prepared, network, position, part, rows, found, _groups(prepared.fitted, rows))


def numbered(cells: Iterable[object], *, alone: bool = False) -> Int64[np.ndarray, "N"]:
    """The number of each cell's text, as they come; absent cells are one group, or each is one by itself if `alone`.

    >>> numbered(["b", None, "a", "b", None], alone=True).tolist()
    [0, 1, 2, 0, 3]
    """
    numbers: dict[object, int] = {}
    keys = (
        (place,) if cell is None and alone else cell if cell is None else str(cell) for place, cell in enumerate(cells)
    )
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _groups(fitted: Fitted, rows: np.ndarray) -> np.ndarray | None:
    column = fitted.experiment.data.group
    return None if column is None else numbered(fitted.table.cells((column,), rows=rows))


def sampling_of_table(facts: Mapping[str, Any], table: Table, rows: np.ndarray) -> Sampling:
    """How the run found its intervals, by the facts of its bundle, for these rows of another table.

    Rows are drawn by themselves where the table has no column of groups; bundles that say nothing have the defaults.
    """
    said = facts.get("intervals") or {"seed": 0}
    column = said.get("group")
    groups = numbered(table.cells((column,), rows=rows)) if column in table.column_names else None
    return Sampling(**{name: said[name] for name in ("seed", "resamples", "level") if name in said}, groups=groups)
