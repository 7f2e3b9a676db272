"""The rows a run is scored on, answered by its trained model: what every part of its report starts from."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64
from torch import Tensor

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


def _groups(fitted: Fitted, rows: np.ndarray) -> np.ndarray | None:
    column = fitted.experiment.data.group
    if column is None:
        return None
    names = fitted.table.cells((column,), rows=rows)
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(name if name is None else str(name), len(numbers)) for name in names])
