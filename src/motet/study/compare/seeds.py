"""Which figures of a comparison hold the chance of the seeds: those of two seeds or more."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from motet.study.compare.chance import Floats

ONE_SEED = " *"
"""Stands behind a figure of one seed where others are of more."""
ROWS, BOTH = "which rows were scored; not of the seeds", "which rows were scored and which seed was drawn"


def common(values: Floats, first: int, second: int) -> int:
    """How many seeds two candidates have in common, by their numbers in the scores `values [C, S]`.

    >>> common(np.array([[0.5, 0.6, np.nan], [0.5, 0.7, 0.1]]), 0, 1)
    2
    """
    return int(np.isfinite(values[first] - values[second]).sum())


def with_seeds(ranking: Sequence[Mapping[str, Any]], names: Sequence[str], values: Floats) -> list[dict[str, Any]]:
    """A ranking that says of each paired difference how many seeds it is of; 0 beside itself."""
    place = {name: number for number, name in enumerate(names)}

    def of(name: str, other: str) -> int:
        return 0 if name == other else common(values, place[name], place[other])

    best, reference = ranking[0]["candidate"] if ranking else "", names[0]
    return [
        {**one, "common_seeds": {"to_best": of(c, best), "to_reference": of(c, reference)}}
        for one in ranking
        for c in (one["candidate"],)
    ]


def counts(content: Mapping[str, Any]) -> set[int]:
    """How many seeds its figures are of."""
    rankings = [content["overall"]["ranking"], *(entry["ranking"] for entry in content["tasks"].values())]
    each = [one for ranking in rankings for one in ranking]
    found = {one["seeds"] for one in each} | {n for one in each for n in one.get("common_seeds", {}).values()}
    transfer = (content.get("transfer") or {}).get("seeds", {})
    return (found | {n for by_name in transfer.values() for n in by_name.values()}) - {0}


def some_of_one(content: Mapping[str, Any]) -> bool:
    """Whether some figures are of one seed and others of more, so that those of one have to be marked."""
    found = counts(content)
    return 1 in found and max(found) > 1


def of_one(count: int | None, *, mark: bool) -> str:
    """What stands behind a figure of so many seeds.

    >>> of_one(1, mark=True), of_one(2, mark=True), of_one(1, mark=False)
    (' *', '', '')
    """
    return ONE_SEED if mark and count == 1 else ""


def chance(content: Mapping[str, Any]) -> str:
    """Which chances the intervals hold, in words."""
    if some_of_one(content):
        return f"{BOTH}; where a figure is of one seed ({ONE_SEED.strip()}), of the rows alone"
    return ROWS if counts(content) <= {1} else BOTH
