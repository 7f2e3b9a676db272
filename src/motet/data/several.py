"""Several media in one row: one in each of some columns, a list in one cell, or text divided by a separator."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motet import media
from motet.core.errors import CellError
from motet.data.paths import Fence
from motet.data.table import Table, present_or_none


@dataclass(frozen=True, slots=True)
class Several:
    """The media of a row that are there, at least one, and where each stands: "street", or "photos (2 of 3)"."""

    parts: tuple[object, ...]
    labels: tuple[str, ...]

    def resolved(self, fence: Fence, folder: Path) -> tuple[object, ...]:
        """Every part as `media` takes it; raises `CellError` with the place of one that leads nowhere."""
        found = []
        for place, part in enumerate(self.parts):
            try:
                found.append(fence.resolve(part, folder))
            except CellError as error:
                raise CellError(str(error), place=place) from None
        return tuple(found)

    def without(self, place: int) -> "Several":
        """The same but for one part."""
        after = place + 1
        return Several(self.parts[:place] + self.parts[after:], self.labels[:place] + self.labels[after:])


def cells_of(
    table: Table, names: Sequence[str], *, rows: np.ndarray, missing: Sequence[str] = (), separator: str | None = None
) -> list[object | None]:
    """The cells of these rows, None where absent; with a `separator`, `Several` where a row may have more than one.

    Of several columns, or in a list, parts that are absent are left out; where all are, the cell is.
    """
    cells = table.cells(names, missing=missing, rows=rows)
    if separator is None:
        return cells
    spellings = frozenset(missing)
    if len(names) == 1:
        return [_of_cell(cell, names[0], separator, spellings) for cell in cells]
    return [_of_columns(cell, names, separator, spellings) for cell in cells]


def resolved(cell: object, fence: Fence, folder: Path) -> object:
    """What the reader of a media column gets for a present cell: a path inside the fence, bytes, or a tuple of those.

    Raises `CellError` for a path that leads outside or nowhere.
    """
    return cell.resolved(fence, folder) if isinstance(cell, Several) else fence.resolve(cell, folder)


def _of_cell(cell: object | None, name: str, separator: str, missing: frozenset[str]) -> object | None:
    parts = _parts(cell, separator)
    return cell if parts is None else _several(_labelled(parts, name, missing))


def _of_columns(cells: Any, names: Sequence[str], separator: str, missing: frozenset[str]) -> Several | None:
    found: list[tuple[object, str]] = []
    for name, cell in zip(names, cells or (), strict=False):
        parts = _parts(cell, separator)
        found += [(cell, name)] if parts is None and cell is not None else _labelled(parts or (), name, missing)
    return _several(found)


def _parts(cell: object | None, separator: str) -> Sequence[object] | None:
    """The parts of a cell that is a list, or text with separators; None where it is one medium or absent."""
    if isinstance(cell, str) and separator in cell and not media.is_data_uri(cell):
        return [part.strip() for part in cell.split(separator)]
    return cell if isinstance(cell, list) and media.several(cell) else None


def _labelled(parts: Sequence[object], name: str, missing: frozenset[str]) -> list[tuple[object, str]]:
    return [
        (part, f"{name} ({number} of {len(parts)})")
        for number, part in enumerate(parts, 1)
        if present_or_none(part, missing) is not None
    ]


def _several(found: Sequence[tuple[object, str]]) -> Several | None:
    return Several(tuple(part for part, _ in found), tuple(label for _, label in found)) if found else None
