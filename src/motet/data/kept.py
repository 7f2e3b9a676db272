"""Arrays kept on disk under names of their content, shared by runs: what a frozen encoder makes of a cell.

A writer adds a part of its own, whole, by one rename; nothing is changed afterwards, so that many may write at once.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from motet.data.cache import cache_folder, forget, remember
from motet.data.items import Items

KIND = "states"
MOST_BYTES = 20 << 30
"""Beyond so many bytes, or `$MOTET_CACHE_BYTES`, the parts that were not read for longest are removed."""


def name_of(item: np.ndarray) -> str:
    """The name of an array's content.

    >>> name_of(np.zeros(2)) == name_of(np.zeros(2)), name_of(np.zeros(2)) == name_of(np.zeros((2, 1)))
    (True, False)
    """
    digest = hashlib.blake2b(f"{item.dtype.str}{item.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(item).data)
    return digest.hexdigest()


class KeptArrays:
    """Arrays of one maker: `maker` names all that made them beside the content, as weights and preparation."""

    def __init__(self, maker: str) -> None:
        self.maker = maker

    def find(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Those of the arrays that are kept; a damaged part is removed and counts as not kept."""
        wanted, found = set(names), dict[str, np.ndarray]()
        for part in sorted(self._folder.glob("*")) if self._folder.is_dir() else ():
            if not part.name.startswith("."):
                found |= _read(part, wanted - found.keys())
        return found

    def keep(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep these too, where the disk allows it."""
        if not arrays:
            return
        names = sorted(arrays)

        def write(folder: Path) -> None:
            folder.mkdir()
            np.save(folder / "names.npy", np.array(names))
            np.save(folder / "shapes.npy", np.array([arrays[name].shape for name in names], dtype=np.int64))
            np.save(folder / "flat.npy", np.concatenate([arrays[name].reshape(-1) for name in names]))

        part = hashlib.blake2b("".join(names).encode(), digest_size=16).hexdigest()
        remember(f"{KIND}/{self.maker}", part, write)
        make_room(int(os.environ.get("MOTET_CACHE_BYTES", MOST_BYTES)))

    @property
    def _folder(self) -> Path:
        return cache_folder() / KIND / self.maker


def make_room(most: int) -> None:
    """Remove whole parts, those first that were not read for longest, until at most so many bytes are kept."""
    parts = []
    for part in (cache_folder() / KIND).glob("*/[!.]*"):
        try:
            parts.append((part.stat().st_mtime, sum(file.stat().st_size for file in part.iterdir()), part))
        except OSError:  # removed meanwhile
            continue
    total = sum(size for _, size, _ in parts)
    for _, size, part in sorted(parts):
        if total <= most:
            return
        forget(part)
        total -= size


def _read(part: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    try:
        names = np.load(part / "names.npy", allow_pickle=False).tolist()
        here = np.array([place for place, name in enumerate(names) if name in wanted], dtype=np.int64)
        if not len(here):
            return {}
        flat = np.load(part / "flat.npy", mmap_mode="r", allow_pickle=False)
        items = Items.of(flat, np.load(part / "shapes.npy", allow_pickle=False))
        if len(items) != len(names) or int(items.shapes.prod(axis=1).sum()) != len(flat):
            raise ValueError("not as many arrays as names")
        os.utime(part, (time.time(), time.time()))
        return {names[place]: item for place, item in zip(here.tolist(), items.take(here), strict=True)}
    except (OSError, ValueError):
        forget(part)
        return {}
