"""Tags of words: a cell -> numbers, numbers -> tags, and how many of them are right. N rows, L words, C tags."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from motet.core.checks import text_of
from motet.core.errors import CellError
from motet.tasks.base import Codec, Metric
from motet.tasks.labels import Label, label_of, list_in
from motet.tasks.metrics import mean_that_exists, metric_of_counts, ratio_of
from motet.tasks.padded import padded
from motet.tasks.tagging.entities import Bio, f1_of, in_scheme
from motet.text import words_of

NOTHING, UNKNOWN, UNKNOWN_INSIDE = -1, -2, -3
"""In a target: a word without a tag, or none; a tag that no training row has; such a one that goes on with a run."""
ABSENT = -2
"""In the first place of an output: there was no text."""


class TaggingCodec(Codec):
    """Target and output `[N, L]`: the number of each word's tag, -1 for a word without one, and behind the last.

    A cell is a list of tags, as text in JSON, or text in which the separator divides them, or white space where there
    is none of it. A tag that is empty or spelt as in `missing` is no label. In a pair of cells the other has the words:
    there must be as many.
    """

    tags: tuple[Label, ...] = Field(min_length=2)
    scheme: Literal["bio", "none"]
    separator: str
    missing: tuple[str, ...] = ()
    mean_words: float = Field(gt=0)
    """How many words with a tag a labelled row of the training rows has on average."""

    @property
    def known(self) -> tuple[Label, ...]:
        """The tags."""
        return self.tags

    @cached_property
    def _number(self) -> dict[str, int]:
        return {text_of(tag): number for number, tag in enumerate(self.tags)}

    @cached_property
    def _bio(self) -> Bio:
        return Bio([text_of(tag) for tag in self.tags])

    def read(self, cell: object) -> Int64[np.ndarray, "L"]:
        """The number of each tag; below -1 for one that no training row has, which counts as a miss."""
        given, words = cell if isinstance(cell, tuple) and len(cell) == 2 else (cell, None)
        tags = list(tags_of(given, self.separator, missing=self.missing))
        _check_as_many(tags, words)
        return np.array([self._of(tag) for tag in tags], dtype=np.int64)

    def knows(self, cell: object) -> bool:
        """Whether the training rows had every tag."""
        return bool((self.read(cell) >= NOTHING).all())

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": int64 [n, L]}`."""
        return {"target": padded(items, filler=NOTHING)}

    def decode(self, output: Int64[Tensor, "N L"]) -> dict[str, list[Any]]:
        """The tags of the words that were read, all unless the text was cut off; with BIO also the "entities" they
        mark: type, start and end, numbers of words from 0, the end being the first word behind. None where there was
        no text.
        """
        rows = [None if row[:1] == [ABSENT] else _without_padding(row) for row in output.cpu().tolist()]
        columns: dict[str, list[Any]] = {
            "": [row if row is None else [None if one < 0 else self.tags[one] for one in row] for row in rows]
        }
        if self.scheme == "bio":
            columns["entities"] = [row if row is None else self._bio.entities(row) for row in rows]
        return columns

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """Itself: a tag has no interval."""
        return self

    def metrics(self) -> tuple[Metric, ...]:
        """f1 and accuracy over all labelled words; one without an answer is a miss.

        f1 with BIO: the micro F1 of entities, 2 right / (answered + true), right where first word, last word and type
        are; else the mean of the F1 of each tag that is true or answered. A word without a label is in no entity.
        """
        if self.scheme == "bio":
            f1 = metric_of_counts("f1", self._entities, f1_of)
        else:
            f1 = metric_of_counts("f1", self._of_tags, _macro_f1)
        return f1, metric_of_counts("accuracy", _hits, ratio_of)

    def prior(self, target: Int64[Tensor, "N L"]) -> Float[Tensor, "C"]:
        """The log frequency of each tag, half a word added to each so that it is finite."""
        counts = torch.bincount(target[target >= 0], minlength=len(self.tags)) + 0.5
        return torch.log(counts / counts.sum())

    def trivial(self, prior: Float[Tensor, "C"], target: Int64[Tensor, "N L"]) -> Int64[Tensor, "N L"]:
        """The most frequent tag for every word that has one."""
        return torch.where(target == NOTHING, NOTHING, prior.argmax().to(target.device))

    def certain(self, target: Int64[Tensor, "N L"]) -> Int64[Tensor, "N L"]:
        """The tags themselves."""
        return target.clamp(min=NOTHING)

    def _of(self, tag: Label | None) -> int:
        if tag is None:
            return NOTHING
        text = text_of(tag)
        if self.scheme == "bio" and not in_scheme(text):
            raise CellError(f"tag {text!r} is not of the scheme BIO: O, or B-x or I-x")
        return self._number.get(text, UNKNOWN_INSIDE if self.scheme == "bio" and text[0] == "I" else UNKNOWN)

    def _entities(self, output: Tensor, target: Tensor) -> Int64[np.ndarray, "N 3"]:
        answer, truth = _beside(output, target)
        return self._bio.counts(np.maximum(answer, NOTHING), truth)

    def _of_tags(self, output: Tensor, target: Tensor) -> Int64[np.ndarray, "N 3C"]:
        """Of each tag how often it is answered rightly, answered, and true, in this order."""
        answer, truth = _beside(output, target)
        kept = (np.where(answer == truth, truth, NOTHING), answer, truth)
        return np.concatenate([_counted(one, len(self.tags)) for one in kept], axis=1)


def tags_of(cell: object, separator: str, *, missing: Sequence[str] = ()) -> Iterator[Label | None]:
    """The tags of a cell, None for one that is empty; `CellError` for what is no list of plain values.

    >>> list(tags_of("DET NOUN", "|")), list(tags_of("B-first name||O", "|")), list(tags_of([1, None], "|"))
    (['DET', 'NOUN'], ['B-first name', None, 'O'], [1, None])
    """
    if isinstance(cell, str):
        divided = [part.strip() for part in cell.split(separator)] if separator in cell else cell.split()
        listed = list_in(cell)
        cell = divided if listed is None else listed
    for one in cell if isinstance(cell, list) else [cell]:
        tag = None if one is None or one == "" else label_of(one)
        yield None if tag is None or text_of(tag) in missing else tag


def _check_as_many(tags: Sequence[object], cell: object | None) -> None:
    """Refuse tags that are not as many as the words; words that can not be read are reported where they stand."""
    if cell is None:
        return
    try:
        words = words_of(cell)
    except CellError:
        return
    if len(words) != len(tags):
        raise CellError(f"{len(tags)} tag{'s' * (len(tags) != 1)} for {len(words)} word{'s' * (len(words) != 1)}")


def _without_padding(row: Sequence[int]) -> list[int]:
    length = len(row)
    while length and row[length - 1] == NOTHING:
        length -= 1
    return list(row[:length])


def _beside(output: Tensor, target: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Answers and truth of equal length, both nothing where there is no label."""
    truth = target.cpu().numpy()
    answer = np.full_like(truth, NOTHING)
    length = min(output.shape[1], target.shape[1])
    answer[:, :length] = output[:, :length].cpu().numpy()
    return np.where(truth == NOTHING, NOTHING, answer), truth


def _hits(output: Tensor, target: Tensor) -> Int64[np.ndarray, "N 2"]:
    answer, truth = _beside(output, target)
    right = (answer == truth) & (truth >= 0)
    return np.stack([right.sum(axis=1), (truth != NOTHING).sum(axis=1)], axis=1)


def _counted(tags: np.ndarray, num_tags: int) -> np.ndarray:
    """How often each tag is in each row `[N, C]`."""
    rows, places = np.nonzero(tags >= 0)
    of_row = np.bincount(rows * num_tags + tags[rows, places], minlength=len(tags) * num_tags)
    return of_row.reshape(len(tags), num_tags)


def _macro_f1(counts: np.ndarray) -> float:
    right, answered, true = counts.reshape(3, -1)
    either = answered + true
    scores = np.divide(2.0 * right, either, out=np.full(len(either), np.nan), where=either > 0)
    return mean_that_exists(scores)
