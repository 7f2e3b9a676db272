"""The folder where parsed tables and decoded media are remembered. Losing it costs time, nothing else.

Entries appear by one rename, so a reader sees a whole entry or none; not being able to write is no error.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache_folder() -> Path:
    """`$MOTET_CACHE`, or `$XDG_CACHE_HOME/motet`, or `~/.cache/motet`."""
    if named := os.environ.get("MOTET_CACHE"):
        return Path(named)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "motet"
    return Path(os.path.expanduser("~")) / ".cache" / "motet"


def remember(kind: str, name: str, write: Callable[[Path], None]) -> Path | None:
    """The entry `kind/name`, a file or folder made by `write(path)` when it is not there; None if that can not be.

    Only `OSError` (a full disk, a read-only home) means "can not be"; what `write` raises otherwise is the caller's.
    """
    entry = cache_folder() / kind / name
    if entry.exists():
        return entry
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.parent))
    except OSError:
        return None
    try:
        write(scratch / "entry")
        with contextlib.suppress(OSError):  # another process was quicker: its folder is as good
            os.rename(scratch / "entry", entry)
    except OSError:
        return None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return entry if entry.exists() else None


def forget(entry: Path) -> None:
    """Remove a damaged entry."""
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)
