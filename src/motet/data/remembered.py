"""What decoding a media column gave, kept in the cache folder: the next check or training does not decode again.

The key holds all that could change the result: the reader's class and JSON, and every cell in order, a path with the
size and time of its file, bytes with their hash. Items are mapped from disk, not loaded.
"""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from motet.core.errors import CellError
from motet.data.cache import cache_folder, forget, remember
from motet.data.cells import CellReader
from motet.data.items import Items
from motet.data.problems import Problem
from motet.data.several import Several

_DECODER_VERSION = "1"  # a change in media decoding must miss
_KIND = "items"


def key(cells: CellReader, rows: np.ndarray) -> str | None:
    """The name under which this column is remembered; None when the reader can not be told from another."""
    dump = getattr(cells.column.reader, "model_dump_json", None)
    if dump is None or cells.column.beside is not None:
        return None
    kind = type(cells.column.reader)
    digest = hashlib.blake2b(digest_size=16)
    for part in (_DECODER_VERSION, kind.__module__, kind.__qualname__, dump(), *cells.column.names):
        digest.update(f"{part}\x1f".encode())
    for row, cell in zip(rows.tolist(), cells.cells(rows), strict=True):
        file, number = cells.table.locate(row)
        digest.update(f"\x1e{file}\x1f{number}\x1f".encode())
        _add(digest, cells, cell, row)
    return digest.hexdigest()


def recall(name: str, *, budget: int) -> tuple[np.ndarray, Items | None, list[Problem]] | None:
    """What was saved under this name (items up to `budget` bytes); None when nothing was, or it is damaged."""
    entry = cache_folder() / _KIND / name
    if not entry.is_dir():
        return None
    try:
        present = np.load(entry / "present.npy", allow_pickle=False)
        problems = [Problem(**problem) for problem in json.loads((entry / "problems.json").read_text("utf-8"))]
        items = None
        if (entry / "flat.npy").exists():
            flat = np.load(entry / "flat.npy", mmap_mode="r" if present.any() else None, allow_pickle=False)
            items = Items.of(flat, np.load(entry / "shapes.npy", allow_pickle=False))
            if len(items) != int(present.sum()):
                raise ValueError("not as many items as present rows")
    except (OSError, ValueError, TypeError):
        forget(entry)
        return None
    return present, items if items is not None and items.flat.nbytes <= budget else None, problems


def save(name: str, present: np.ndarray, items: Items | None, problems: list[Problem]) -> None:
    """Remember what reading gave; without items when these were too many to keep."""

    def write(folder: Path) -> None:
        folder.mkdir()
        np.save(folder / "present.npy", present)
        (folder / "problems.json").write_text(json.dumps([asdict(problem) for problem in problems]), "utf-8")
        if items is not None:
            np.save(folder / "flat.npy", items.flat)
            np.save(folder / "shapes.npy", items.shapes)

    remember(_KIND, name, write)


def _add(digest: Any, cells: CellReader, cell: object, row: int) -> None:
    if isinstance(cell, Several):
        for label, part in zip(cell.labels, cell.parts, strict=True):
            digest.update(f"\x1d{label}\x1f".encode())
            _add(digest, cells, part, row)
        return
    try:
        resolved = cells.fence.resolve(cell, cells.table.folder(row))
    except CellError as error:
        digest.update(f"{cell!r}\x1f{error}".encode(errors="surrogateescape"))
        return
    if isinstance(resolved, Path):
        found = os.stat(resolved)
        digest.update(f"{resolved}\x1f{found.st_size}\x1f{found.st_mtime_ns}".encode(errors="surrogateescape"))
    elif isinstance(resolved, bytes):
        digest.update(resolved)
    elif isinstance(resolved, dict):
        for name, value in resolved.items():
            digest.update(f"{name}\x1f".encode())
            _add(digest, cells, str(value) if isinstance(value, Path) else value, row)
    else:
        digest.update(repr(resolved).encode(errors="surrogateescape"))
