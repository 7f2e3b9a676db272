"""Which labels of lists of them have a number of their own: those in most training rows."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Self

from motet.core.checks import text_of
from motet.core.component import Frozen
from motet.core.labels import Label

UNKNOWN = 0
RARE = 1
"""Labels in no more training rows than this are unknown: what stands for unknown ones learns from them."""


class Vocabulary(Frozen):
    """Labels as text, sorted; number 0 is for every other, so the first of them has number 1.

    >>> Vocabulary.fit([["red", "round"], ["red", 5], [5.0]], most=9).labels
    ('5', 'red')
    """

    labels: tuple[str, ...]

    @classmethod
    def fit(cls, rows: Iterable[Iterable[Label]], *, most: int) -> Self:
        """The labels in more than one row, at most so many of them: those in most rows, then by the alphabet."""
        counts = Counter(text for row in rows for text in {_text(label) for label in row})
        often = sorted((text for text, count in counts.items() if count > RARE), key=lambda text: (-counts[text], text))
        return cls(labels=tuple(sorted(often[:most])))

    def numbers(self, labels: Sequence[Label]) -> list[int]:
        """The number of each label, in their order."""
        return [self._number.get(_text(label), UNKNOWN) for label in labels]

    @cached_property
    def _number(self) -> dict[str, int]:
        return {label: number for number, label in enumerate(self.labels, start=1)}


def _text(label: Label) -> str:
    return text_of(label).strip()
