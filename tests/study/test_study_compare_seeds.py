"""What is said of one seed where others are of more, and of scores on the rows by which halving chose."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compared import finished, written

import motet
from motet.core.errors import SpecError
from motet.evaluation.spec import EvaluationSpec
from motet.study.compare.candidate import Candidate
from motet.study.compare.comparison import Comparison
from motet.study.compare.halving import Halved, chosen_by
from motet.study.compare.result import judged
from motet.study.compare.seeds import BOTH, ROWS, chance, common, counts, some_of_one, with_seeds

DOCUMENT: dict[str, Any] = {"data": "t.csv", "inputs": {"a": "number"}, "tasks": {"y": "binary"}}


def compared(tmp_path: Path, seeds: dict[str, tuple[int, ...]]) -> Comparison:
    """Candidates that have finished runs of these seeds."""
    random = np.random.default_rng(0)
    price = random.normal(size=40).astype(np.float32)

    def run(folder: Path) -> Path:
        said = (price + random.normal(size=40)).astype(np.float32)
        return written(finished({"price": said}, {"price": price}), folder)

    candidates = [
        Candidate(name, {seed: (run(tmp_path / f"{name}-{seed}"),) for seed in own}) for name, own in seeds.items()
    ]
    return Comparison(judged(candidates, seed=0, evaluation=EvaluationSpec(resamples=20)).content | {"runs": []})


def test_what_is_of_one_seed_is_marked_where_others_are_of_more(tmp_path: Path) -> None:
    found = compared(tmp_path, {"a": (0, 1), "b": (0, 1), "c": (1,)})
    assert counts(found.content) == {1, 2}
    text = found.to_text()
    assert "* of one seed: the interval holds the chance of the rows alone" in text
    assert sum(line.count("*") for line in text.splitlines() if line.startswith("c ")) >= 3
    for entry in found.content["tasks"]["price"]["ranking"]:
        assert entry["common_seeds"]["to_reference"] == {"a": 0, "b": 2, "c": 1}[entry["candidate"]]
    page = found.to_html()
    assert f"{BOTH}; where a figure is of one seed (*), of the rows alone" in page
    assert page.count("] *<") >= 3


def test_two_candidates_of_two_seeds_each_may_have_one_in_common(tmp_path: Path) -> None:
    found = compared(tmp_path, {"a": (0, 1), "b": (1, 2)})
    assert some_of_one(found.content)
    (row,) = [one for one in found.content["overall"]["ranking"] if one["candidate"] == "b"]
    assert (row["seeds"], row["common_seeds"]["to_reference"]) == (2, 1)
    values = np.array([[0.1, 0.2, np.nan], [np.nan, 0.3, 0.4]])
    assert common(values, 0, 1) == 1
    assert with_seeds([{"candidate": "b"}, {"candidate": "a"}], ["a", "b"], values) == [
        {"candidate": "b", "common_seeds": {"to_best": 0, "to_reference": 1}},
        {"candidate": "a", "common_seeds": {"to_best": 1, "to_reference": 0}},
    ]


@pytest.mark.parametrize(("seeds", "words"), [((0,), ROWS), ((0, 1), BOTH)])
def test_nothing_is_marked_where_all_are_alike(tmp_path: Path, seeds: tuple[int, ...], words: str) -> None:
    found = compared(tmp_path, {"a": seeds, "b": seeds})
    assert chance(found.content) == words
    assert "*" not in found.to_text()
    assert f"the chance of {words}. Differences" in found.to_html()


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (["training.epochs=2,4"], "its rounds set training.epochs"),
        (["training={epochs: 2},{epochs: 4}"], "its rounds set training.epochs"),
        (["fusion=concat,gated"], "training.epochs is auto"),
    ],
)
def test_halving_sets_the_epochs_itself_and_says_so_before_anything_is_written(
    over: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=message):
        motet.compare(DOCUMENT, over, out=tmp_path / "out", halving=True)
    assert not (tmp_path / "out").exists()


def test_scores_on_the_rows_by_which_halving_chose_are_said_to_be_so() -> None:
    (sentence,) = chosen_by(Halved((), ({"epochs": 1, "gains": {}},)), "valid")
    assert "chosen by the rows they are scored on" in sentence
    assert chosen_by(Halved((), ({"epochs": 1, "gains": {}},)), "test") == []
    assert chosen_by(Halved((), ()), "valid") == []
