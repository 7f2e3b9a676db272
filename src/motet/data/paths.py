"""The fence: where a media cell's path may lead."""

import os
from pathlib import Path

from motet import media
from motet.core.checks import nearest
from motet.core.errors import CellError

_MANY_FILES = 5_000


class Fence:
    """Resolves media paths; none leads out of `root`, links followed. Without a root, each table's folder is one. A
    data URI is no path: it becomes the bytes that it holds.

    Folders are resolved once and remembered, for a table names thousands of files in one of them.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = None if root is None else os.path.realpath(root)
        self._parents: dict[tuple[str, str], str] = {}
        self._names: dict[str, list[str]] = {}

    def resolve(self, cell: object, folder: Path) -> object:
        """The cell as `media` takes it: text becomes a path inside the fence or bytes, anything else stays.

        Errors: `CellError` for a path that leads outside, is missing, or is no file.
        """
        if isinstance(cell, str):
            held = media.uri_bytes(cell)
            return self._path(cell, str(folder)) if held is None else held
        if isinstance(cell, dict) and cell.get("bytes") is None and isinstance(cell.get("path"), str):
            found = self.resolve(cell["path"], folder)
            return {**cell, "path": found} if isinstance(found, Path) else found
        return cell

    def _path(self, cell: str, folder: str) -> Path:
        if "\0" in cell:
            raise CellError("a path with a NUL character")
        parent, name = os.path.split(os.path.join(folder, cell))
        path = os.path.join(self._parent(parent, folder), name)
        if name in ("", ".", "..") or os.path.islink(path):
            path = os.path.realpath(path)
            self._check_inside(path, folder)
        if not os.path.isfile(path):
            raise CellError(self._why_not(path))
        return Path(path)

    def _parent(self, parent: str, folder: str) -> str:
        known = self._parents.get((parent, folder))
        if known is None:
            known = os.path.realpath(parent)
            self._check_inside(known, folder)
            self._parents[parent, folder] = known
        return known

    def _check_inside(self, path: str, folder: str) -> None:
        root = self._root if self._root is not None else os.path.realpath(folder)
        if os.path.commonpath([root, path]) != root:
            raise CellError("the path leads out of the root folder; set `root` to a folder that holds all media")

    def _why_not(self, path: str) -> str:
        if os.path.lexists(path):
            return "not a regular file"
        parent, name = os.path.split(path)
        if parent not in self._names:
            self._names[parent] = _names_in(parent)
        match = nearest(name, self._names[parent])
        return "no such file" + (f"; did you mean {match!r}?" if match else "")


def _names_in(folder: str) -> list[str]:
    """The names in a folder, to suggest from; none where there are too many to compare with."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return names if len(names) <= _MANY_FILES else []
