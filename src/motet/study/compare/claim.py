"""The folder of a comparison belongs to one comparison."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from motet.artifact import write_file
from motet.core.errors import SpecError
from motet.run.experiment import holds_run
from motet.run.resolved import with_defaults

SETTINGS = "settings.json"


def claim(out: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
    """Write what is compared; when going on it must be what is there. The number of seeds and the time may differ.

    Raises `SpecError` where the folder is a file, a run, or holds a comparison and `resume` is False or it is another.
    """
    if out.exists() and not out.is_dir():
        raise SpecError(f"{out}: is a file, not the folder of a comparison; choose another with --out")
    if holds_run(out):
        raise SpecError(f"{out}: holds a run, not a comparison; choose another folder with --out")
    path, text = out / SETTINGS, json.dumps(settings, indent=1, ensure_ascii=False)
    if not path.is_file():
        write_file(path, text.encode())
        return
    if not resume:
        raise SpecError(f"{out}: holds a comparison already; go on with it by --resume, or choose another with --out")
    try:
        former = json.loads(path.read_bytes())
    except ValueError:
        raise SpecError(f"{path}: damaged; choose another folder with --out") from None
    if not isinstance(former, dict):
        raise SpecError(f"{path}: damaged; choose another folder with --out")
    if "experiment" in former:  # of an older version, perhaps, which did not know every field
        former |= {"experiment": with_defaults(former["experiment"])}
    if differing := _differing(former, json.loads(text)):
        raise SpecError(
            f"{path}: the comparison there is another one ({', '.join(differing[:5])} differ); go on with it as it was "
            "asked for, or choose another folder with --out"
        )


def _differing(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        names = dict.fromkeys([*old, *new])
        return [
            line for name in names for line in _differing(old.get(name), new.get(name), f"{path}.{name}".strip("."))
        ]
    return [] if old == new else [path]
