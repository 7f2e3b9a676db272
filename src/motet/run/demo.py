"""The demo: a table of its own, one experiment, one run."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from motet.core.errors import SpecError
from motet.run.demo_data import make_demo_table
from motet.run.resolved import EXPERIMENT
from motet.training import Progress

R = TypeVar("R")
MARK = "data/table.csv"


def demo(out: Path, *, fit: Callable[..., R], progress: Progress) -> R:
    """Make the table at `out/data/table.csv` and train on it; a former demo there is replaced, nothing else is."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARK).is_file():
            raise SpecError(f"{out}: holds something that is not a demo; choose another folder with --out")
        shutil.rmtree(out)
    progress.say(f"making a table of pictures, sounds, texts and numbers in {out / 'data'}")
    table = make_demo_table(out / "data")
    return fit(table.parent / EXPERIMENT, out=out, progress=progress)
