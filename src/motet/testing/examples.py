"""Example cells for every kind of input and task, as a table would hold them. A new kind adds its own here."""

from collections.abc import Callable

import numpy as np


def input_cells(kind: str) -> list[object]:
    """Cells of an input of this kind; `LookupError` if nobody has written any.

    >>> input_cells("category")[:3]
    ['red', 'green', 'blue']
    """
    return _cells(INPUTS, kind, "INPUTS")


def task_labels(kind: str) -> list[object]:
    """Labels of a task of this kind; `LookupError` if nobody has written any.

    >>> task_labels("binary")[:3]
    ['yes', 'no', 'no']
    """
    return _cells(TASKS, kind, "TASKS")


def part_inputs(kind: str) -> dict[str, tuple[str, list[object]]]:
    """For a task of this kind that reads parts: its inputs by name, each a kind and a cell for each of the labels."""
    if kind not in PART_INPUTS:
        raise LookupError(f"there are no inputs for {kind!r}: add some to PART_INPUTS in motet/testing/examples.py")
    return PART_INPUTS[kind]()


def _cells(examples: dict[str, Callable[[], list[object]]], kind: str, name: str) -> list[object]:
    if kind not in examples:
        raise LookupError(f"there are no example cells for {kind!r}: add some to {name} in motet/testing/examples.py")
    return examples[kind]()


def _pictures() -> list[object]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (side, side + 2, 3), dtype=np.uint8) for side in range(12, 24)]


def _texts() -> list[object]:
    text = "a slow boat drifts past quiet houses while nobody on the shore looks up again"
    return [text[start : start + 8 + 3 * start] for start in range(0, 36, 3)]


def _sounds() -> list[object]:
    seconds = np.linspace(0.2, 0.5, 12)
    return [(np.sin(np.arange(int(8000 * s)) * (0.1 + s)).astype(np.float32), 8000) for s in seconds]


def _numbers() -> list[object]:
    return [1, "2.5", -3.0, 10, 4, 0, 7.25, 1.5, "8", -1, 2, 3]


def _categories() -> list[object]:
    return ["red", "green", "blue"] * 4


def _vectors() -> list[object]:
    return list(np.random.default_rng(0).standard_normal((12, 5)))


def _yes_and_no() -> list[object]:
    return ["yes", "no", "no", "yes", "no", "yes"] * 2


def _sets() -> list[object]:
    return ["red|round", "round", [], ["red", "old"], "old", "red"] * 2


INPUTS: dict[str, Callable[[], list[object]]] = {
    "audio": _sounds,
    "category": _categories,
    "image": _pictures,
    "number": _numbers,
    "text": _texts,
    "vector": _vectors,
}
TASKS: dict[str, Callable[[], list[object]]] = {
    "binary": _yes_and_no,
    "multiclass": _categories,
    "multilabel": _sets,
    "regression": _numbers,
}
PART_INPUTS: dict[str, Callable[[], dict[str, tuple[str, list[object]]]]] = {}
