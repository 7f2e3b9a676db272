"""Whether two runs were judged by the same labels: what their targets stand for, row by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor

from motet.core.checks import text_of
from motet.inputs import AnyInput
from motet.model.columns import labels_of
from motet.tasks import AnyTask
from motet.tasks.base import Codec, TaskSpec
from motet.tasks.row import RowTask

ABSOLUTE = ("ranking", "survival")
"""Kinds whose targets hold the cells' own numbers, and whose answers are of another sort than their labels."""
ORDERED = ("binary", "ordinal")
"""Kinds whose metrics, but for those of `ANY_ORDER`, depend on which label comes first."""
ANY_ORDER = ("accuracy", "auroc")
CLOSE = 1e-5
"""Targets are float32 in units of a run's own: so much of a number's distance from the mean is rounding."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What a run was judged by in one task: its Spec, its codec, and the columns it read them from."""

    spec: TaskSpec
    codec: Codec
    columns: tuple[str, ...]


def labels_by_task(model: Mapping[str, Any], codecs: Mapping[str, Mapping[str, Any]]) -> dict[str, Labels]:
    """Those of a bundle's tasks, from its experiment and its codecs."""
    specs = TypeAdapter(dict[str, AnyTask]).validate_python(model["tasks"])
    inputs = TypeAdapter(dict[str, AnyInput]).validate_python(model["inputs"])
    return {
        task: Labels(spec, spec.restore(dict(codecs[task])), labels_of(task, spec, inputs).place.names)
        for task, spec in specs.items()
    }


def other_labels(first: Labels, other: Labels, targets: tuple[Tensor, Tensor], *, metric: str) -> str | None:
    """How the labels of two runs differ, whose targets of the same rows are these; None where they are the same.

    Targets are read in the user's units. Of tasks about parts of a row, whose targets depend on how the model was made
    (the size of a picture, the words of a text), the columns of the table they were read from tell.
    """
    if not isinstance(other.spec, RowTask) or not isinstance(first.spec, RowTask):
        same = first.columns == other.columns
        return None if same else f"read from {', '.join(other.columns)}, not from {', '.join(first.columns)}"
    if other.spec.kind in ORDERED and metric not in ANY_ORDER and _texts(first) != _texts(other):
        return f"{metric} of {_order(other)}, not of {_order(first)}"
    a, b = (cells(one.spec, one.codec, target) for one, target in zip((first, other), targets, strict=True))
    at = _differing(a, b)
    return None if at is None else f"{_said(b, at)} where that run has {_said(a, at)}{_columns(first, other)}"


def cells(spec: TaskSpec, codec: Codec, target: Tensor) -> list[Any]:
    """What targets `[N, ...]` stand for; None for a label that the training rows did not have.

    >>> from motet.tasks import Binary
    >>> cells(Binary(), Binary().fit(["no", "yes"]), torch.tensor([1.0, 0.0]))
    ['yes', 'no']
    """
    if spec.kind in ABSOLUTE:
        found: list[Any] = target.double().tolist()
        return found
    said = codec.decode(codec.certain(target))[""]
    unknown = target < 0 if codec.known and target.dim() == 1 else torch.zeros(len(target), dtype=torch.bool)
    return [None if strange else cell for cell, strange in zip(said, unknown.tolist(), strict=True)]


def _differing(a: Sequence[Any], b: Sequence[Any]) -> int | None:
    """The first row whose cells are not the same; one that says nothing is like any."""
    if len(a) != len(b):
        return min(len(a), len(b))
    known = [at for at, pair in enumerate(zip(a, b, strict=True)) if None not in pair]
    ours, theirs = (_numbers([one[at] for at in known]) for one in (a, b))
    if ours is None or theirs is None or ours.shape != theirs.shape:
        return next((at for at in known if _text(a[at]) != _text(b[at])), None)
    far = ~_close(ours, theirs)
    rows = np.flatnonzero(far.reshape(len(far), -1).any(axis=1))
    return known[int(rows[0])] if len(rows) else None


def _numbers(values: Sequence[Any]) -> np.ndarray | None:
    try:
        found = np.array(values)
    except ValueError:  # lists of unequal length
        return None
    return found.astype(np.float64) if found.dtype.kind in "fiu" and found.size else None


def _close(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    mean, spread = a.mean(axis=0), a.std(axis=0)
    spread = np.where(spread > 0, spread, np.abs(mean))
    close: np.ndarray = np.abs(a - b) <= CLOSE * (np.abs(a - mean) + spread)
    return close


def _text(cell: Any) -> Any:
    return [_text(one) for one in cell] if isinstance(cell, list | tuple) else text_of(cell)


def _texts(labels: Labels) -> list[str]:
    return [text_of(one) for one in labels.codec.known]


def _order(labels: Labels) -> str:
    known = _texts(labels)
    return f"{known[-1]!r} as the positive label" if labels.spec.kind == "binary" else f"levels {', '.join(known)}"


def _said(cells: Sequence[Any], at: int) -> str:
    return repr(_text(cells[at])) if at < len(cells) else "none"


def _columns(first: Labels, other: Labels) -> str:
    if first.columns == other.columns:
        return ""
    return f": it reads {', '.join(other.columns)}, not {', '.join(first.columns)}"
