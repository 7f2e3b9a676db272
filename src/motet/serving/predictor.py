"""A trained model that answers rows: the same path for Python, the command line and every server."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from motet.artifact import read_bundle
from motet.core.checks import did_you_mean, nearest
from motet.core.errors import DataError, SpecError
from motet.core.flow import Batch, Column
from motet.data import BadCells, Dataset, Table, read_cells, read_held_out
from motet.model import Collected, collect
from motet.model.columns import input_columns, task_columns
from motet.model.explain import explained
from motet.serving.answer import answer_table
from motet.serving.explain import Explanation, explain_row, worths_of
from motet.serving.restore import Restored, restore
from motet.serving.search import Index, index_of, search_once
from motet.serving.tables import like

ABSENT = "\0absent"  # no column of a file can be called so
BATCH = 256
"""Rows per forward pass when answering."""


class Predictor:
    """Answers rows with a trained model. Made by `motet.load`.

    `inputs` and `tasks` name what it reads and what it answers; an input that a row lacks is simply absent.
    """

    def __init__(self, restored: Restored, *, root: Path | None = None) -> None:
        self.network = restored.network
        self.inputs, self.tasks = restored.inputs, restored.tasks
        self.facts = restored.facts
        self.root = root

    @classmethod
    def load(cls, folder: str | Path) -> "Predictor":
        """From a run folder or a bundle; raises `BundleError` where there is none or it is damaged."""
        folder = Path(folder)
        bundle = folder / "bundle" if (folder / "bundle").is_dir() else folder
        return cls(restore(read_bundle(bundle)), root=_run_root(folder))

    def predict(self, rows: Any, *, root: str | Path | None = None, explain: bool = False) -> Any:
        """One row out per row in, as the same kind of table: DataFrame, Arrow table, list of dicts; a path gives Arrow.

        The first column is the id column where the model has one and the rows hold it, else "row", counted as in the
        file a person opens. Then each task's answer and, after two underscores, what goes with it. Media paths must
        stay inside `root` (default: that of the run). Raises `DataError` for cells that can not be read.

        With `explain` there is `TASK__contribution_INPUT` for each input too: see `Explanation.contributions`.
        """
        table = read_held_out(rows)
        return like(rows, self._answered(table, root, explain=explain))

    def explain(self, row: Any, task: str | None = None, *, root: str | Path | None = None) -> Explanation:
        """Why one row is answered so, by all tasks or one: what each input adds, and what within texts, pictures and
        sounds. The row is a dict, or a table of one row.
        """
        table = read_held_out([dict(row)] if isinstance(row, Mapping) else row)
        if table.num_rows != 1:
            raise DataError(f"{table.parts[0].name}: has {table.num_rows} rows, expected the one to explain")
        if task is not None and task not in self.tasks:
            raise SpecError(f"task: the model has no task {task!r}{did_you_mean(task, self.tasks)}")
        fence = self.root if root is None else Path(root)
        tasks = {name: one for name, one in self.tasks.items() if task in (None, name)}
        batch = next(self._batches(table, {}, root))
        return explain_row(self.network, batch, table, inputs=self.inputs, tasks=tasks, root=fence)

    def search(
        self,
        query: Any,
        gallery: Any,
        *,
        task: str | None = None,
        k: int = 5,
        by: str | None = None,
        of: str | None = None,
        root: str | Path | None = None,
    ) -> Any:
        """For each row of the query the k rows of the gallery that go with it best: see `Index.search`.

        `task` is one of kind matching; left out where there is just one. The query asks `by` one of its two inputs, and
        the gallery gives what it has `of` one; both are found by themselves where a table has one of them. To search
        one gallery often, make an `index` of it.
        """
        return search_once(self, query, gallery, task=task, k=k, by=by, of=of, root=root)

    def index(
        self, gallery: Any, *, task: str | None = None, of: str | None = None, root: str | Path | None = None
    ) -> Index:
        """A gallery, encoded once, to be searched often: `index.search(query, k)`."""
        return index_of(self, gallery, task=task, of=of, root=root)

    def unseen(self, column_names: Sequence[str]) -> list[str]:
        """A sentence for each input that these columns lack, naming the nearest: absent is legal, a slip is likely."""
        columns = input_columns(self.inputs)
        lacking = {name: [one for one in column.names if one not in column_names] for name, column in columns.items()}
        spare = sorted(set(column_names) - {one for column in columns.values() for one in column.names})
        without = {
            name: "is absent" if _absent(columns[name], column_names) else "is in part absent" for name in columns
        }
        return [
            f"input {name!r} {without[name]} in every row: there is no column {missing[0]!r}{_near(missing[0], spare)}"
            for name, missing in lacking.items()
            if missing
        ]

    def outputs(
        self, table: Table, *, root: str | Path | None = None, absent: Sequence[Sequence[str]] = ((),)
    ) -> list[Collected]:
        """Outputs and targets for every row of a table that may hold labels, once per set of inputs taken away."""
        columns = task_columns(self.tasks, {name: spec for name, (spec, _) in self.inputs.items()})
        targets = {name: column for name, column in columns.items() if _read_along(column) <= set(table.column_names)}
        if not targets:
            wanted = ", ".join(sorted({name for column in columns.values() for name in column.names}))
            raise DataError(f"{table.parts[0].name}: no task has its labels there; expected at least one of {wanted}")
        return collect(self.network, self._batches(table, targets, root), absent=absent)

    def collected(self, table: Table, *, root: str | Path | None = None) -> Collected:
        """Outputs for every row of a table, before they are decoded."""
        return collect(self.network, self._batches(table, {}, root))[0]

    def _answered(self, table: Table, root: str | Path | None, *, explain: bool) -> pa.Table:
        worths = worths_of({name: codec for name, (_, codec) in self.tasks.items()}) if explain else {}
        collected, contributions = explained(self.network, self._batches(table, {}, root), worths)
        return answer_table(
            table,
            collected,
            tasks=self.tasks,
            inputs=self.inputs,
            id_column=self.facts.get("id"),
            root=self.root if root is None else Path(root),
            contributions=contributions,
        )

    def _batches(self, table: Table, targets: dict[str, Column], root: str | Path | None) -> Iterator[Batch]:
        inputs = input_columns(self.inputs)
        self._check_renamed(table)
        table, inputs = _with_absent_inputs(table, inputs)
        fence = self.root if root is None else Path(root)
        rows = np.arange(table.num_rows, dtype=np.int64)
        try:
            store = read_cells(
                table,
                rows,
                inputs | targets,
                root=fence,
                on_bad_cell=self.facts["on_bad_cell"],
                max_bad_fraction=self.facts["max_bad_fraction"],
            )
        except BadCells as error:
            advice = "correct them, or leave them empty: an empty cell is an absent input or an unknown label"
            if any("root" in problem.reason for problem in error.problems):
                advice += "; --root (root= in Python) names another folder that holds the media"
            raise BadCells(error.problems, error.summary, advice=advice) from None
        dataset = Dataset(store, inputs=tuple(inputs), targets=tuple(targets), seed=0)
        for start in range(0, len(rows), BATCH):
            yield dataset.batch(rows[start : start + BATCH], epoch=None)

    def _check_renamed(self, table: Table) -> None:
        """Raises `SpecError` for a column that is renamed to what this model does not read."""
        specs = {name: spec for name, (spec, _) in self.inputs.items()}
        columns = [*input_columns(self.inputs).values(), *task_columns(self.tasks, specs).values()]
        known = {name for column in columns for name in _read_along(column)} | {self.facts.get("id") or ""}
        for part in table.parts:
            for theirs, ours in (part.given.rename if part.given else {}).items():
                if ours not in known:
                    raise SpecError(
                        f"{part.name}: {theirs!r} is renamed to {ours!r}, which this model does not read"
                        f"{did_you_mean(ours, sorted(known - {''}))}"
                    )


def _read_along(column: Column) -> set[str]:
    """The columns that a label is read from, with those it is held against."""
    return {*column.names, *(() if column.beside is None else column.beside.names)}


def _near(column: str, spare: Sequence[str]) -> str:
    lower = {one.lower(): one for one in spare}
    match = nearest(column.lower(), lower)
    return "" if match is None else f"; did you mean {lower[match]!r}?"


def _with_absent_inputs(table: Table, columns: dict[str, Column]) -> tuple[Table, dict[str, Column]]:
    """An input that lacks a column is absent in every row, unless each holds a medium of its own; a table that has none
    of all these columns is another table.
    """
    names = list(dict.fromkeys(name for column in columns.values() for name in column.names))
    if not set(names) & set(table.column_names):
        raise DataError(
            f"{table.parts[0].name}: has none of the model's input columns; expected {', '.join(names[:12])}"
        )
    if all(set(column.names) <= set(table.column_names) for column in columns.values()):
        return table, columns
    arrow = table.arrow.append_column(ABSENT, pa.nulls(table.num_rows))
    return Table(arrow, table.parts), {name: _found(column, table.column_names) for name, column in columns.items()}


def _found(column: Column, column_names: Sequence[str]) -> Column:
    """The same, without what the table lacks."""
    if _absent(column, column_names):
        return replace(column, names=(ABSENT,))
    return replace(column, names=tuple(name for name in column.names if name in column_names))


def _absent(column: Column, column_names: Sequence[str]) -> bool:
    """Whether a table with these columns has nothing of the input: of several media each is there by itself."""
    there = [name in column_names for name in column.names]
    return not (all(there) if column.separator is None else any(there))


def _run_root(folder: Path) -> Path | None:
    """The root the run was trained with, from its resolved experiment; None beside a bundle alone."""
    import yaml

    path = folder / "experiment.yaml"
    if not path.is_file():
        return None
    root = (yaml.safe_load(path.read_text(encoding="utf-8")).get("data") or {}).get("root")
    return None if root is None else Path(root)
