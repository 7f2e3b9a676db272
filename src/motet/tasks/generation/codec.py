"""Texts as ids and back, and how much of the true text an answer has."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float64, Int32, Int64
from pydantic import Field
from torch import Tensor

from motet.core.checks import text_of
from motet.tasks.base import Codec, Metric
from motet.tasks.labels import label_of
from motet.tasks.metrics import metric_of_counts
from motet.tasks.padded import padded
from motet.text import Tokenizer, bleu_counts, bleu_of, chrf_counts, chrf_of, rouge_l_counts, rouge_l_of

EDGE = 0
"""The id that a text begins behind and ends with: that of the tokenizer's padding, which is in no text."""
HIDDEN = -1
"""Behind the end; a row of nothing else has no answer."""


class GenerationCodec(Codec):
    """Target and output: the ids of a text and its end, int64 `[B, L]`, padded behind with -1.

    Whole texts are the truth that answers are held against; a head learns and writes the first `max_tokens` ids. Texts
    are compared as the tokenizer gives them back: in NFKC, white space made single, lower-cased where it does so.
    """

    tokenizer: Tokenizer
    max_tokens: int = Field(ge=1)

    @property
    def num_ids(self) -> int:
        """How many ids there are, the edge included."""
        return self.tokenizer.size

    def read(self, cell: object) -> Int32[np.ndarray, "L"]:
        """The ids of the text and its end; numbers and truth values count as written."""
        return np.append(self.tokenizer.encode(text_of(label_of(cell))), np.int32(EDGE))

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": int64 [n, L]}`."""
        return {"target": padded(items, filler=HIDDEN)}

    def decode(self, output: Int64[Tensor, "N L"]) -> dict[str, list[Any]]:
        """The texts; None for a row of which nothing could be said."""
        return {"": [self.tokenizer.decode(ids) if said else None for said, ids in self._ids(output)]}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """Itself: a text has no interval."""
        return self

    def metrics(self) -> tuple[Metric, ...]:
        """chrf, bleu, rouge_l, each from 0 to 100; a row without an answer counts as an empty one."""
        return (
            self._metric("chrf", chrf_counts, chrf_of),
            self._metric("bleu", bleu_counts, bleu_of),
            self._metric("rouge_l", rouge_l_counts, rouge_l_of),
        )

    def prior(self, target: Int64[Tensor, "N L"]) -> Int64[Tensor, "l"]:
        """The text most like the others: the one whose counts of ids have the largest mean cosine with those of all."""
        counts = torch.zeros(len(target), self.num_ids)
        counts.scatter_add_(1, target.clamp(min=EDGE), (target > EDGE).float())
        unit = counts / counts.norm(dim=1, keepdim=True).clamp(min=1.0)
        ids = target[(unit @ unit.mean(dim=0)).argmax()]
        return ids[ids != HIDDEN]

    def trivial(self, prior: Int64[Tensor, "l"], target: Int64[Tensor, "N L"]) -> Int64[Tensor, "N l"]:
        """The same text for every row."""
        return prior.expand(len(target), -1)

    def certain(self, target: Int64[Tensor, "N L"]) -> Int64[Tensor, "N L"]:
        """The texts themselves."""
        return target

    def _metric(
        self, name: str, counts: Callable[[str, str], np.ndarray], score: Callable[[np.ndarray], float]
    ) -> Metric:
        def of_rows(output: Tensor, target: Tensor) -> Float64[np.ndarray, "N S"]:
            return np.array([counts(*pair) for pair in zip(self._texts(output), self._texts(target), strict=True)])

        return metric_of_counts(name, of_rows, score, perfect=100.0)

    def _texts(self, output: Tensor) -> list[str]:
        return [self.tokenizer.decode(ids) for _, ids in self._ids(output)]

    def _ids(self, output: Tensor) -> list[tuple[bool, list[int]]]:
        """For each row whether there is an answer, and its ids without the end."""
        return [(any(id != HIDDEN for id in row), [id for id in row if id > EDGE]) for row in output.tolist()]
