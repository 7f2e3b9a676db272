"""Finished runs as comparing reads them, made by hand: what a model said is given, nothing is trained."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from motet.artifact import Bundle, write_bundle, write_file
from motet.run.outputs import Outputs, Said, outputs_bytes
from motet.study.compare.candidate import Finished
from motet.study.compare.meaning import Labels
from motet.tasks import Binary, Regression
from motet.tasks.base import Codec

CODECS: dict[str, Codec] = {
    "sold": Binary().fit(["no", "yes"]),
    "price": Regression().fit([0.0, 1.0, 2.0]),
}
TASKS = {"sold": Binary(), "price": Regression()}
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
    codecs: Mapping[str, Codec] | None = None,
    columns: Mapping[str, tuple[str, ...]] | None = None,
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
            task: {"kind": TASKS[task].kind, "primary": PRIMARY[task], "baseline": BASELINE[task]} for task in outputs
        }
    }
    group = None if groups is None else torch.tensor(list(groups))
    kept = Outputs(part="test", table=table, rows=torch.arange(num), groups=group, tasks=said)
    own = CODECS | dict(codecs or {})
    labels = {task: Labels(TASKS[task], own[task], (columns or {}).get(task, (task,))) for task in outputs}
    return Finished(Path(name), report, kept, labels)


def written(run: Finished, folder: Path) -> Path:
    """The same run as a folder on disk, with as much of a finished run as comparing reads."""
    tasks = {
        task: entry
        | {
            "rows": int(run.outputs.tasks[task].labelled.sum()),
            "metrics": {
                entry["primary"]: {"value": 0.5, "low": 0.4, "high": 0.6, "higher_is_better": True},
            },
            "single_task": None,
        }
        for task, entry in run.report["tasks"].items()
    }
    content = {"rows_scored": run.outputs.part, "tasks": tasks, "training": {"parameters": 10, "seconds": 1.0}}
    bundle = Bundle(
        model={"inputs": {}, "tasks": {task: _document(run.labels[task]) for task in tasks}},
        preparations={},
        codecs={task: run.labels[task].codec.model_dump(mode="json") for task in tasks},
        facts={},
        weights={},
    )
    write_bundle(folder / "bundle", bundle)
    write_file(folder / "predictions" / "outputs.safetensors", outputs_bytes(run.outputs))
    write_file(folder / "report.json", json.dumps(content).encode())
    return folder


def _document(labels: Labels) -> dict[str, Any]:
    return labels.spec.model_copy(update={"column": labels.columns[0]}).model_dump(mode="json")
