"""Which rows of a gallery go best with a query, as a task that matches two inputs has it: an exact search.

Q queries, G rows of a gallery, E width of the vectors.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int64

from motet.core.checks import did_you_mean
from motet.core.errors import DataError, SpecError
from motet.data import Table, read_held_out
from motet.model.columns import input_place
from motet.serving.answer import row_names
from motet.serving.tables import like
from motet.tasks.matching import Matching

if TYPE_CHECKING:
    from motet.serving.predictor import Predictor

PAIRS_AT_ONCE = 2**22
DIGITS = 6  # of a score


class Index:
    """A gallery, encoded once. Made by `Predictor.index`.

    `of` names the input whose cells were encoded; a row without that input is in the table and never found.
    """

    def __init__(
        self, predictor: "Predictor", table: Table, *, task: str, of: str, root: str | Path | None = None
    ) -> None:
        self.predictor, self.table, self.task, self.of = predictor, table, task, of
        self.rows, self.vectors = _encoded(predictor, table, task=task, side=of, root=root)

    def __len__(self) -> int:
        """How many rows can be found."""
        return len(self.rows)

    def search(self, query: Any, k: int = 5, *, by: str | None = None, root: str | Path | None = None) -> Any:
        """For each row of the query the k rows of the gallery that go with it best, as the same kind of table.

        A row for each that is found, best first: the query's name as `predict` has it, `rank` from 1, `score`, the
        cosine of the two vectors, `match`, the name of the row that is found, and its cells, `match__COLUMN`. `by` is
        the input that asks; left out, the one the query has, rather than the one of the gallery. A query without that
        input finds nothing. Rows that score the same stand in the order of the gallery.
        """
        if k < 1:
            raise SpecError(f"k is how many rows are found for each query, at least 1; found {k}")
        table = read_held_out(query)
        sides = sides_of(self.predictor, self.task)
        other = next(name for name in sides if name != self.of)
        side = by if by is not None else _side(self.predictor, sides, table, rather=other, field="by")
        asking, vectors = _encoded(self.predictor, table, task=self.task, side=side, root=root)
        found, scores = nearest(vectors, self.vectors, k)
        queries = np.repeat(asking, found.shape[1])
        return like(query, self._answers(table, queries, self.rows[found.reshape(-1)], scores), row_by_row=False)

    def _answers(self, table: Table, queries: np.ndarray, found: np.ndarray, scores: np.ndarray) -> pa.Table:
        id_column = self.predictor.facts.get("id")
        (name, names), (_, matches) = (
            next(iter(row_names(one, rows, id_column).items())) for one, rows in ((table, queries), (self.table, found))
        )
        cells = self.table.arrow.take(pa.array(found))
        ranks = np.tile(np.arange(1, scores.shape[1] + 1), len(scores)) if scores.size else np.zeros(0, dtype=np.int64)
        columns = {name: names, "rank": ranks, "score": scores.reshape(-1).astype(np.float64).round(DIGITS)}
        columns |= {"match": matches} | {f"match__{one}": cells.column(one) for one in cells.column_names}
        return pa.table(columns)


def index_of(
    predictor: "Predictor", gallery: Any, *, task: str | None, of: str | None, root: str | Path | None
) -> Index:
    """The gallery, encoded; raises `SpecError` where it is not clear by which task, or which of its inputs."""
    task, table = matching_task(predictor, task), read_held_out(gallery)
    side = of if of is not None else _side(predictor, sides_of(predictor, task), table, rather=None, field="of")
    return Index(predictor, table, task=task, of=side, root=root)


def search_once(
    predictor: "Predictor",
    query: Any,
    gallery: Any,
    *,
    task: str | None,
    k: int,
    by: str | None,
    of: str | None,
    root: str | Path | None,
) -> Any:
    """An index for one search; where the gallery has both inputs, it gives the one that the query does not ask by."""
    task, asks, table = matching_task(predictor, task), read_held_out(query), read_held_out(gallery)
    sides = sides_of(predictor, task)
    if of is None:
        there = [by] if by is not None else [name for name in sides if _has(predictor, asks, name)]
        rather = next((name for name in sides if [name] != there), None) if len(there) == 1 else None
        of = _side(predictor, sides, table, rather=rather, field="of")
    return Index(predictor, table, task=task, of=of, root=root).search(query, k, by=by, root=root)


def matching_task(predictor: "Predictor", task: str | None) -> str:
    """The task that is named, or the only one that matches."""
    able = [name for name, (spec, _) in predictor.tasks.items() if isinstance(spec, Matching)]
    if task is None and len(able) == 1:
        return able[0]
    if task is None:
        found = f"name one of {', '.join(able)} by `task`" if able else "this model has none"
        raise SpecError(f"a search needs a task of kind matching: {found}")
    if task not in able:
        raise SpecError(f"task: {task!r} is not a matching task of this model{did_you_mean(task, able)}")
    return task


def sides_of(predictor: "Predictor", task: str) -> Sequence[str]:
    """The two inputs it is between."""
    spec = predictor.tasks[task][0]
    assert isinstance(spec, Matching)
    return spec.reads


def nearest(
    queries: Float32[np.ndarray, "Q E"], gallery: Float32[np.ndarray, "G E"], k: int
) -> tuple[Int64[np.ndarray, "Q k"], Float32[np.ndarray, "Q k"]]:
    """The places of the k rows with the largest product, largest first, and these products; as many as there are.

    >>> nearest(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 2.0]]), 2)
    (array([[1, 0]]), array([[1., 0.]]))
    """
    k = min(k, len(gallery))
    places = np.zeros((len(queries), k), dtype=np.int64)
    scores = np.zeros((len(queries), k), dtype=queries.dtype)
    at_once = max(1, PAIRS_AT_ONCE // max(1, len(gallery)))
    for start in range(0, len(queries) if k else 0, at_once):
        similar = queries[start : start + at_once] @ gallery.T
        least = np.partition(similar, -k, axis=1)[:, -k]
        for row, (values, limit) in enumerate(zip(similar, least, strict=True), start):
            among = np.flatnonzero(values >= limit)
            places[row] = among[np.argsort(-values[among], kind="stable")[:k]]
            scores[row] = values[places[row]]
    return places, scores


def _encoded(
    predictor: "Predictor", table: Table, *, task: str, side: str, root: str | Path | None
) -> tuple[Int64[np.ndarray, "n"], Float32[np.ndarray, "n E"]]:
    """The rows that have this input, and their vectors; nothing else of the table is read."""
    sides = sides_of(predictor, task)
    if side not in sides:
        raise SpecError(f"{side!r} is not one of the two inputs of tasks.{task}{did_you_mean(side, sides)}")
    if not _has(predictor, table, side):
        wanted = ", ".join(map(repr, input_place(side, predictor.inputs[side][0]).names))
        raise DataError(f"{table.parts[0].name}: input {side!r} is read from {wanted}, and there is no such column")
    columns = [name for name in input_place(side, predictor.inputs[side][0]).names if name in table.column_names]
    collected = predictor.collected(Table(table.arrow.select(columns), table.parts), root=root)
    present = collected.present[side].numpy()
    vectors = collected.outputs[task][:, list(sides).index(side)].numpy()
    return np.flatnonzero(present), np.ascontiguousarray(vectors[present])


def _side(predictor: "Predictor", sides: Sequence[str], table: Table, *, rather: str | None, field: str) -> str:
    """The input that a table has; of both the one that is wanted `rather`."""
    there = [name for name in sides if _has(predictor, table, name)]
    if len(there) == 1 or rather in there:
        return rather if rather is not None and rather in there else there[0]
    name = table.parts[0].name
    if there:
        raise SpecError(f"{name}: has both {sides[0]!r} and {sides[1]!r}; say which counts by `{field}`")
    wanted = " or ".join(
        repr(column) for side in sides for column in input_place(side, predictor.inputs[side][0]).names
    )
    raise DataError(f"{name}: has neither {sides[0]!r} nor {sides[1]!r}; expected a column {wanted}")


def _has(predictor: "Predictor", table: Table, side: str) -> bool:
    place = input_place(side, predictor.inputs[side][0])
    there = [name in table.column_names for name in place.names]
    return all(there) if place.separator is None else any(there)
