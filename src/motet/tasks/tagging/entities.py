"""Runs of words that tags of the scheme BIO mark: B-x begins one of type x, I-x goes on with it, O is in none.

An I-x behind anything but a B-x or I-x begins one too: the convention of the script conlleval, and of seqeval unless
told otherwise. B and I without a type are of one type.
Shapes: N rows, L words.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

OUTSIDE = -1
"""The type of a word in no run."""


@dataclass(frozen=True, slots=True)
class Runs:
    """For each word whether a run begins there (`begins`), its last word, and its type; the others hold filler."""

    begins: Bool[np.ndarray, "N L"]
    last: Int64[np.ndarray, "N L"]
    type: Int64[np.ndarray, "N L"]


class Bio:
    """The tags of a task, by number: which begin a run, and the number of each one's type.

    A number below 0 is no tag of these; -3 goes on with a run of a type of its own, -2 begins one, -1 is in none.

    >>> Bio(["B-place", "I-place", "O"]).entities([0, 1, 2, 1])
    [{'type': 'place', 'start': 0, 'end': 2}, {'type': 'place', 'start': 3, 'end': 4}]
    """

    def __init__(self, tags: Sequence[str]) -> None:
        self.types = sorted({type_of(tag) for tag in tags if tag != "O"})
        number = {name: place for place, name in enumerate(self.types)}
        stranger = len(self.types)
        of_tag = [OUTSIDE if tag == "O" else number[type_of(tag)] for tag in tags]
        self._type = np.array([*of_tag, stranger, stranger, OUTSIDE])  # the last three are found from behind
        self._begins = np.array([*(tag.startswith("B") for tag in tags), False, True, False])

    def runs(self, tags: Int64[np.ndarray, "N L"]) -> Runs:
        """The runs of each row."""
        kind = self._type[tags]
        before = np.pad(kind, ((0, 0), (1, 0)), constant_values=OUTSIDE)[:, :-1]
        begins = (kind != OUTSIDE) & (self._begins[tags] | (kind != before))
        after = np.pad(begins | (kind == OUTSIDE), ((0, 0), (0, 1)), constant_values=True)[:, 1:]
        places = np.where(after, np.arange(tags.shape[1]), tags.shape[1])
        last = np.minimum.accumulate(places[:, ::-1], axis=1)[:, ::-1]
        return Runs(begins, last, kind)

    def counts(self, answer: Int64[np.ndarray, "N L"], truth: Int64[np.ndarray, "N L"]) -> Int64[np.ndarray, "N 3"]:
        """How many runs of each row are answered rightly (first and last word and type), answered, and true."""
        said, true = self.runs(answer), self.runs(truth)
        right = said.begins & true.begins & (said.last == true.last) & (said.type == true.type)
        return np.stack([one.sum(axis=1) for one in (right, said.begins, true.begins)], axis=1)

    def entities(self, tags: Sequence[int]) -> list[dict[str, object]]:
        """The runs of one row: the type, the number of the first word, and that of the first word behind."""
        found = self.runs(np.array([tags], dtype=np.int64))
        return [
            {"type": self.types[found.type[0, place]], "start": place, "end": int(found.last[0, place]) + 1}
            for place in np.flatnonzero(found.begins[0]).tolist()
        ]


def is_bio(tags: Iterable[str]) -> bool:
    """Whether all are O, B or I, or B-x or I-x, and one begins something.

    >>> is_bio(["B-place", "I-place", "O"]), is_bio(["NOUN", "O"]), is_bio(["O"])
    (True, False, False)
    """
    tags = list(tags)
    return all(map(in_scheme, tags)) and any(tag.startswith("B") for tag in tags)


def in_scheme(tag: str) -> bool:
    """Whether a tag is O, B or I, or B-x or I-x."""
    return tag in ("O", "B", "I") or tag[:2] in ("B-", "I-")


def type_of(tag: str) -> str:
    """The x of B-x; empty where there is none."""
    return tag[2:]


def f1_of(counts: np.ndarray) -> float:
    """2 right / (answered + true), of counts `[..., 3]` over all rows; NaN without either.

    >>> f1_of(np.array([1, 2, 2]))
    0.5
    """
    right, answered, true = counts
    return float(2 * right / (answered + true)) if answered + true > 0 else float("nan")
