"""Finished runs compared where they are: `motet report A B C`."""

from collections.abc import Sequence
from pathlib import Path

from motet.core.errors import SpecError
from motet.evaluation.spec import EvaluationSpec
from motet.study.compare.candidate import Candidate
from motet.study.compare.comparison import Comparison
from motet.study.compare.result import judged


def compare_runs(folders: Sequence[Path]) -> Comparison:
    """Each run is a candidate, the first the reference; intervals hold the chance of the rows alone.

    Raises `SpecError` where no two were scored on the same rows of the same table, with the reasons.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise SpecError("report: a run is named twice; runs are compared with others")
    names = _names(folders)
    candidates = [Candidate(name, {0: (folder,)}) for name, folder in zip(names, folders, strict=True)]
    content = judged(candidates, seed=0, evaluation=EvaluationSpec()).content
    return Comparison(content | {"runs": [], "folders": dict(zip(names, map(str, folders), strict=True))})


def _names(folders: Sequence[Path]) -> list[str]:
    """As few of the last parts of each path as tell all of them apart."""
    parts = [folder.resolve().parts[1:] for folder in folders]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-count:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]
