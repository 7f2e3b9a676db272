"""Decoded answers -> an Arrow column, whatever they are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from motet.core.checks import text_of


def arrow_of(answers: Sequence[Any]) -> pa.Array:
    """One type per column: bytes, numbers, text, lists, objects; None is null. Where types differ they become text,
    of lists part by part, of objects field by field.

    >>> arrow_of([[{"label": "cat", "score": 0.5}], [], None]).type
    ListType(list<item: struct<label: string, score: double>>)
    >>> arrow_of([["a"], [1]]).to_pylist()
    [['a'], ['1']]
    """
    try:
        return pa.array(answers)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.array(_alike([_plain(answer) for answer in answers]))


def _plain(answer: Any) -> Any:
    """Without the types of numpy."""
    return answer.tolist() if isinstance(answer, np.ndarray | np.generic) else answer


def _alike(answers: list[Any]) -> list[Any]:
    present = [answer for answer in answers if answer is not None]
    if present and all(isinstance(answer, Mapping) for answer in present):
        names = list(dict.fromkeys(name for answer in present for name in answer))
        fields = {name: _alike([_plain(answer.get(name)) for answer in present]) for name in names}
        found: list[Any] = [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]
    elif present and all(isinstance(answer, list | tuple) for answer in present):
        parts = iter(_alike([_plain(part) for answer in present for part in answer]))
        found = [[next(parts) for _ in answer] for answer in present]
    else:
        found = _scalars(present)
    rest = iter(found)
    return [None if answer is None else next(rest) for answer in answers]


def _scalars(answers: list[Any]) -> list[Any]:
    try:
        pa.array(answers)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return [text_of(answer).encode(errors="replace").decode() for answer in answers]
    return answers
