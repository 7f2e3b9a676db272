"""Texts as symbols and back, and how many edits an answer is from the truth.

V symbols, L of a label.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Int64
from pydantic import Field
from torch import Tensor

from motet.core.checks import text_of
from motet.tasks.base import Codec, Metric
from motet.tasks.labels import label_of
from motet.tasks.metrics import metric_of_counts
from motet.tasks.padded import padded
from motet.text import edit_counts, edit_rate_of

PADDING, ABSENT = -1, -2
"""Behind the last symbol; and in the first place of an answer where there was nothing to listen to."""
UNKNOWN = "\N{REPLACEMENT CHARACTER}"


class TranscriptionCodec(Codec):
    """Target and output `[B, L]`: the numbers of the symbols, from 1, padded with -1; the blank, 0, is in neither.

    Symbols are characters, or words, of the training rows. Text is taken with single spaces between its words, and
    none around them, in labels and in answers. A symbol that no training row has is never written: in the truth each
    of its characters is one that nothing is equal to, and its number is V + how many they are.
    """

    symbols: tuple[str, ...] = Field(min_length=1)
    unit: Literal["character", "word"]
    lowercase: bool

    @cached_property
    def _number(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols, 1)}

    def read(self, cell: object) -> Int64[np.ndarray, "L"]:
        """The numbers of a text's symbols; one that no training row has counts as one that is never written."""
        known = len(self.symbols)
        return np.array([self._number.get(one, known + len(one)) for one in self._symbols(cell)], dtype=np.int64)

    def knows(self, cell: object) -> bool:
        """Whether all its symbols are known."""
        return all(one in self._number for one in self._symbols(cell))

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": int64 [n, L]}`."""
        return {"target": padded(items, filler=PADDING)}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        """The text; None where there was no sound."""
        rows = output.cpu().tolist()
        return {"": [None if row[:1] == [ABSENT] else self._joined(row) for row in rows]}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """Itself."""
        return self

    def metrics(self) -> tuple[Metric, ...]:
        """Edits per character (cer) and per word (wer) of the truth; lower is better."""
        return (
            metric_of_counts("cer", self._character_edits, edit_rate_of, higher_is_better=False),
            metric_of_counts("wer", self._word_edits, edit_rate_of, higher_is_better=False),
        )

    def prior(self, target: Tensor) -> Tensor:
        """The log frequencies `[V]` of the symbols, half a symbol added to each."""
        known = target[(target > 0) & (target <= len(self.symbols))]
        counts = torch.bincount(known - 1, minlength=len(self.symbols)) + 0.5
        return torch.log(counts / counts.sum())

    def trivial(self, prior: Tensor, target: Tensor) -> Tensor:
        """Nothing, which is wrong once per symbol: whatever else is said is hardly better."""
        return torch.full((target.shape[0], 1), PADDING)

    def certain(self, target: Tensor) -> Tensor:
        """The symbols."""
        return target

    def _symbols(self, cell: object) -> list[str]:
        return symbols_of(cell, self.unit, lowercase=self.lowercase)

    def _joined(self, row: Sequence[int]) -> str:
        between = " " if self.unit == "word" else ""
        return " ".join(between.join(self._symbol(number) for number in row if number > 0).split())

    def _symbol(self, number: int) -> str:
        known = len(self.symbols)
        return self.symbols[number - 1] if number <= known else UNKNOWN * (number - known)

    def _texts(self, output: Tensor, target: Tensor) -> list[tuple[str, str]]:
        pairs = zip(output.cpu().tolist(), target.cpu().tolist(), strict=True)
        return [(self._joined(said), self._joined(true)) for said, true in pairs]

    def _character_edits(self, output: Tensor, target: Tensor) -> np.ndarray:
        return np.stack([edit_counts(said, true) for said, true in self._texts(output, target)])

    def _word_edits(self, output: Tensor, target: Tensor) -> np.ndarray:
        return np.stack([edit_counts(said.split(), true.split()) for said, true in self._texts(output, target)])


def symbols_of(cell: object, unit: str, *, lowercase: bool) -> list[str]:
    """The characters or words of a text, runs of spaces taken for one; `CellError` for what is no plain value.

    >>> symbols_of(" On  it", "character", lowercase=True)
    ['o', 'n', ' ', 'i', 't']
    """
    words = text_of(label_of(cell)).split()
    words = [word.lower() for word in words] if lowercase else words
    return words if unit == "word" else list(" ".join(words))
