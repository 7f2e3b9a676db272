"""Example cells for every kind of input and task, as a table would hold them. A new kind adds its own here."""

from collections.abc import Callable, Mapping, Sequence

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


PartInputs = Mapping[str, tuple[str, Sequence[object]]]
"""Inputs by name: the kind of each, and a cell for each label."""


def part_inputs(kind: str) -> PartInputs:
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


def _clips() -> list[object]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (1 + place % 4, 10, 12, 3), dtype=np.uint8) for place in range(12)]


def _texts() -> list[object]:
    text = "a slow boat drifts past quiet houses while nobody on the shore looks up again"
    return [text[start : start + 8 + 3 * start] for start in range(0, 36, 3)]


def _sounds() -> list[object]:
    seconds = np.linspace(0.2, 0.5, 12)
    return [(np.sin(np.arange(int(8000 * s)) * (0.1 + s)).astype(np.float32), 8000) for s in seconds]


def _calls() -> list[object]:
    """Short sounds, which are soon learned."""
    seconds = np.linspace(0.04, 0.15, 12)
    return [(np.sin(np.arange(int(8000 * s)) * (0.1 + 5 * s)).astype(np.float32), 8000) for s in seconds]


def _numbers() -> list[object]:
    return [1, "2.5", -3.0, 10, 4, 0, 7.25, 1.5, "8", -1, 2, 3]


def _counts() -> list[object]:
    return [0, 3, "1", 7.0, 2, 0, 12, 4, "5", 1, 0, 9]


def _ratings() -> list[object]:
    return [3, 1, "5", 4, 2, 5, 3, 3, "1", 4, 2, 5]


def _categories() -> list[object]:
    return ["red", "green", "blue"] * 4


def _vectors() -> list[object]:
    return list(np.random.default_rng(0).standard_normal((12, 5)))


def _series() -> list[object]:
    """Of two channels and unequal lengths; a number is missing."""
    chance = np.random.default_rng(0)
    steps: list[object] = [chance.standard_normal((3 + place % 5, 2)).tolist() for place in range(11)]
    return [*steps, [[1.0, None], [0.5, 2.0]]]


def _moments() -> list[object]:
    return [f"2024-{1 + place:02d}-{1 + 2 * place:02d} {place * 5 % 24:02d}:30" for place in range(12)]


def _yes_and_no() -> list[object]:
    return ["yes", "no", "no", "yes", "no", "yes"] * 2


def _sets() -> list[object]:
    return ["red|round", "round", [], ["red", "old"], "old", "red"] * 2


def _sentences() -> list[object]:
    who, does, where = ("a man", "two dogs", "the girl"), ("sleeps", "runs slowly"), ("on the grass", "by a red car")
    return [f"{one} {what} {place}." for one in who for what in does for place in where]


def _boxes() -> list[object]:
    """Beside the pictures they are in."""
    found: list[object] = []
    for index, picture in enumerate(_pictures()):
        height, width = np.asarray(picture).shape[:2]
        x, y = (width - 8) * (index % 3) / 2, (height - 8) * (index % 4) / 3
        objects = [{"label": "cup", "box": [x, y, x + 8, y + 7]}, {"label": "plate", "box": [0, 0, width / 2, height]}]
        found.append((objects[: 1 + index % 2], picture))
    found[3] = ([], _pictures()[3])
    return found


def _spoken() -> list[object]:
    return ["one", "two two", "on", "", "too", "no one", "two", "to", "one one", "not", "o", "no"]


def _masks() -> list[object]:
    """Two bands, and a third class in a corner."""
    return [_bands(picture) for picture in _pictures()]


def _bands(picture: object) -> np.ndarray:
    rows, columns = np.asarray(picture).shape[:2]
    edge = rows // 4 + rows % 5
    mask = np.zeros((rows, columns), dtype=np.uint8)
    mask[edge:], mask[rows - 4 :, columns // 2 :] = 1, 2
    return mask


def _depths() -> list[object]:
    """From 2 at the top to 1 at the bottom and nearer by row; a corner is not known."""
    return [_slope(place, picture) for place, picture in enumerate(_pictures())]


def _slope(place: int, picture: object) -> np.ndarray:
    rows, columns = np.asarray(picture).shape[:2]
    depth = np.tile(np.linspace(2.0, 1.0, rows, dtype=np.float32)[:, None], (1, columns)) * (1 + place / 12)
    depth[0, : columns // 3] = 0
    return depth.astype(np.float32)


def _words() -> list[list[str]]:
    words = [
        "a",
        "slow",
        "boat",
        "drifts",
        "past",
        "quiet",
        "houses",
        "while",
        "nobody",
        "on",
        "the",
        "shore",
        "looks",
        "up",
        "again",
    ]
    return [words[start : start + 2 + 3 * start % 7] for start in range(12)]


def _tags() -> list[object]:
    of = {"boat": "B-thing", "houses": "B-place", "the": "B-place", "shore": "I-place", "slow": "B-thing"}
    return [[of.get(word, "O") for word in words] for words in _words()]


def _relevances() -> list[object]:
    return [[place * 7 % 12 % 4, f"query {place % 3}"] for place in range(12)]


def _times() -> list[object]:
    return [[1 + place * 5 % 7, int(place % 4 > 0)] for place in range(12)]


INPUTS: dict[str, Callable[[], list[object]]] = {
    "audio": _sounds,
    "category": _categories,
    "datetime": _moments,
    "image": _pictures,
    "number": _numbers,
    "series": _series,
    "set": _sets,
    "text": _texts,
    "vector": _vectors,
    "video": _clips,
}
TASKS: dict[str, Callable[[], list[object]]] = {
    "depth": _depths,
    "segmentation": _masks,
    "binary": _yes_and_no,
    "count": _counts,
    "detection": _boxes,
    "generation": _sentences,
    "matching": _texts,
    "multiclass": _categories,
    "multilabel": _sets,
    "ordinal": _ratings,
    "ranking": _relevances,
    "reconstruction": _numbers,
    "regression": _numbers,
    "survival": _times,
    "synthesis": _calls,
    "tagging": _tags,
    "transcription": _spoken,
}
PART_INPUTS: dict[str, Callable[[], PartInputs]] = {
    "reconstruction": lambda: {"age": ("number", _numbers())},
    "depth": lambda: {"photo": ("image", _pictures())},
    "segmentation": lambda: {"photo": ("image", _pictures())},
    "matching": lambda: {"photo": ("image", _pictures()), "note": ("text", _texts())},
    "synthesis": lambda: {"line": ("text", _texts()), "place": ("vector", _vectors())},
    "tagging": lambda: {"note": ("text", list[object](_words()))},
    "transcription": lambda: {"speech": ("audio", _sounds())},
    "detection": lambda: {"photo": ("image", _pictures())},
    "generation": lambda: {"note": ("text", _texts()), "place": ("vector", _vectors())},
}
