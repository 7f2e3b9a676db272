"""Reading one whole column, once: items, problems, and the memory of both on disk for media."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from motet.data import remembered
from motet.data.cells import CellReader, Read
from motet.data.items import Items, ItemsBuilder
from motet.data.problems import Problem

_ROWS_AT_ONCE = 4096

_Map = Callable[..., Iterable[Read]]


@dataclass(frozen=True)
class ReadColumn:
    """What reading a column gave: which rows have an item, the items if they fit the budget, and the bad cells."""

    present: Bool[np.ndarray, "rows"]
    items: Items | None
    problems: list[Problem]


def read_column(
    cells: CellReader,
    rows: np.ndarray,
    *,
    budget: int,
    progress: Callable[[int], None],
    workers: int,
    remember: bool,
) -> ReadColumn:
    """Read the cells of `rows`, or recall what reading them gave before."""
    key = remembered.key(cells, rows) if remember and cells.column.media else None
    if key is not None and (known := remembered.recall(key, budget=budget)) is not None:
        progress(len(rows))
        return ReadColumn(*known)
    present = np.zeros(len(rows), dtype=bool)
    builder, problems = ItemsBuilder(budget), list[Problem]()
    with _mapper(workers if cells.column.media else 0) as mapped:
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            raw = cells.cells(part)
            places = [place for place, cell in enumerate(raw) if cell is not None]
            results = mapped(cells.read, [raw[place] for place in places], part[places].tolist())
            for place, (item, bad) in zip(places, results, strict=True):
                problems += bad
                if item is not None:
                    present[start + place] = True
                    builder.add(item)
            progress(start + len(part))
    found = ReadColumn(present, builder.items(), problems)
    if key is not None:
        remembered.save(key, found.present, found.items, found.problems)
    return found


@contextmanager
def _mapper(workers: int) -> Iterator[_Map]:
    if not workers:
        yield map
        return
    with ThreadPoolExecutor(workers) as pool:
        yield pool.map
