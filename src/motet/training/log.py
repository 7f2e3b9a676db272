"""`log.jsonl`: one flushed line per step and per validation, without times, so that equal runs have equal logs."""

import json
import math
import os
from pathlib import Path
from typing import Any, Self


class RunLog:
    """Appends lines; on resume it first takes back what came after the checkpoint, which is about to be done again."""

    def __init__(self, path: Path, *, keep_bytes: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.truncate(path, min(keep_bytes, path.stat().st_size))
        self._file = path.open("ab")

    def write(self, line: dict[str, Any]) -> None:
        """One line, visible to readers at once; a number that is not finite becomes null."""
        self._file.write(json.dumps(_plain(line), ensure_ascii=False).encode() + b"\n")
        self._file.flush()

    def sync(self) -> int:
        """Bring all lines to the disk; the size of the file then."""
        os.fsync(self._file.fileno())
        return self._file.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a log; a last line cut short by a crash is passed over."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    return [json.loads(line) for line in lines]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
