"""Finished runs as comparing reads them, made by hand: what a model said is given, nothing is trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from motet.run.outputs import Outputs, Said
from motet.study.compare.candidate import Finished
from motet.tasks import Binary, Regression
from motet.tasks.base import Codec

CODECS: dict[str, Codec] = {
    "sold": Binary().fit(["no", "yes"]),
    "price": Regression().fit([0.0, 1.0, 2.0]),
}
PRIMARY = {"sold": "auroc", "price": "r2"}
BASELINE = {"sold": {"auroc": 0.5}, "price": {"r2": 0.0}}


def finished(
    outputs: Mapping[str, np.ndarray],
    targets: Mapping[str, np.ndarray],
    *,
    labelled: Mapping[str, np.ndarray] | None = None,
    groups: Sequence[int] | None = None,
    name: str = "run",
    table: str = "t",
) -> Finished:
    """A run that said these outputs of N rows."""
    num = len(next(iter(targets.values())))
    every = {task: np.ones(num, dtype=bool) for task in outputs} | dict(labelled or {})
    said = {
        task: Said(torch.tensor(outputs[task]), torch.tensor(targets[task]), torch.tensor(every[task]))
        for task in outputs
    }
    report = {
        "tasks": {
            task: {"kind": CODECS[task].__class__.__name__, "primary": PRIMARY[task], "baseline": BASELINE[task]}
            for task in outputs
        }
    }
    group = None if groups is None else torch.tensor(list(groups))
    kept = Outputs(part="test", table=table, rows=torch.arange(num), groups=group, tasks=said)
    return Finished(Path(name), report, kept, CODECS)
