"""Which tasks to train together: the search against every partition written out, and what a run makes of it."""

import json
from collections.abc import Iterator
from itertools import chain, combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.core.errors import BundleError, SpecError
from motet.study import group
from motet.study.partition import exhaustive, greedy, partition, worth


def by_hand(affinity: np.ndarray, groups: list[list[int]]) -> float:
    """For every task the mean affinity of the others of its group onto it, in loops."""
    total = 0.0
    for members in groups:
        for j in members:
            others = [affinity[i][j] for i in members if i != j]
            total += sum(others) / len(others) if others else 0.0
    return total


def every_partition(count: int, most: int) -> Iterator[list[list[int]]]:
    """A group number for every thing, in all ways; those that name no group in vain."""
    for numbers in product(range(most), repeat=count):
        used = sorted(set(numbers))
        yield [[i for i in range(count) if numbers[i] == number] for number in used]


@st.composite
def matrices(draw: st.DrawFn, *, least: int = 1, most: int = 6) -> np.ndarray:
    size = draw(st.integers(least, most))
    entry = st.floats(-1, 1, allow_subnormal=False, width=32)
    return np.array(draw(st.lists(entry, min_size=size * size, max_size=size * size))).reshape(size, size)


@settings(max_examples=60, deadline=None)
@given(matrices(), st.data())
def test_exhaustive_is_the_best_of_all_partitions(affinity: np.ndarray, data: st.DataObject) -> None:
    most = data.draw(st.integers(1, len(affinity)))
    groups = exhaustive(affinity, most=most)
    assert sorted(chain(*groups)) == list(range(len(affinity)))
    assert len(groups) <= most
    best = max(by_hand(affinity, each) for each in every_partition(len(affinity), most))
    assert by_hand(affinity, groups) == pytest.approx(best, abs=1e-9)
    assert worth(affinity, groups) == pytest.approx(by_hand(affinity, groups), abs=1e-9)


def test_exhaustive_tries_each_partition_once() -> None:
    from motet.study.partition import _partitions

    for count, bell in ((1, 1), (4, 15), (6, 203)):
        found = {tuple(map(tuple, groups)) for groups in _partitions(count, count)}
        assert len(found) == len(list(_partitions(count, count))) == bell
    assert len(list(_partitions(4, 2))) == 8


@settings(max_examples=60, deadline=None)
@given(matrices(most=14), st.data())
def test_greedy_is_never_worse_than_all_alone_or_all_together(affinity: np.ndarray, data: st.DataObject) -> None:
    most = data.draw(st.integers(1, len(affinity)))
    groups = greedy(affinity, most=most)
    assert sorted(chain(*groups)) == list(range(len(affinity)))
    assert len(groups) <= most
    assert by_hand(affinity, groups) >= by_hand(affinity, [list(range(len(affinity)))]) - 1e-9
    if most == len(affinity):
        assert by_hand(affinity, groups) >= -1e-9
    assert all(by_hand(affinity, each) <= by_hand(affinity, groups) + 1e-9 for each in moved_once(groups, most))


def moved_once(groups: list[list[int]], most: int) -> Iterator[list[list[int]]]:
    """What one move makes of it."""
    for source in range(len(groups)):
        for one in groups[source]:
            for target in range(min(len(groups) + 1, most)):
                moved = [[x for x in group if x != one] for group in [*groups, []]]
                moved[target].append(one)
                yield [group for group in moved if group]


def clusters(count: int, *, seed: int = 0) -> np.ndarray:
    """Even ones do each other good, odd ones too, and each kind harms the other."""
    noise = np.random.default_rng(seed).normal(scale=0.1, size=(count, count))
    return noise + np.where(np.add.outer(range(count), range(count)) % 2 == 0, 1.0, -1.0)


@pytest.mark.parametrize("count", [4, 9, 10, 11, 24])
@pytest.mark.parametrize("most", [2, 4])
def test_two_clear_clusters_are_found(count: int, most: int) -> None:
    assert partition(clusters(count), most=2) == [list(range(0, count, 2)), list(range(1, count, 2))]
    for each in partition(clusters(count), most=most):
        assert len({one % 2 for one in each}) == 1


def test_greedy_mostly_finds_what_exhaustive_finds() -> None:
    reached = []
    for seed in range(30):
        affinity = np.random.default_rng(seed).normal(size=(7, 7))
        best = worth(affinity, exhaustive(affinity, most=3))
        reached.append(worth(affinity, greedy(affinity, most=3)) / best)
    assert max(reached) <= 1 + 1e-9
    assert np.mean(reached) > 0.95


def test_what_one_does_itself_does_not_count() -> None:
    affinity = np.random.default_rng(0).normal(size=(5, 5))
    assert partition(affinity, most=3) == partition(affinity + np.diag([9.0, -9, 9, -9, 9]), most=3)


def test_of_equally_good_proposals_the_one_with_the_fewest_groups_is_taken() -> None:
    assert partition(np.zeros((4, 4)), most=4) == [[0, 1, 2, 3]]
    assert partition(np.zeros((12, 12)), most=4) == [list(range(12))]


# --- of a run


def run_with(folder: Path, values: np.ndarray, names: list[str], **more: Any) -> Path:
    folder.mkdir(exist_ok=True)
    pairs: dict[str, dict[str, Any]] = {}
    for i, j in combinations(range(len(names)), 2):
        share = 0.9 if (i + j) % 2 else 0.25
        pairs.setdefault(names[i], {})[names[j]] = {"cosine": 0.5 - share, "conflicts": share, "steps": 40}
    rows = {
        a: {b: {"mean": float(values[i, j]), "steps": 40} for j, b in enumerate(names) if i != j}
        for i, a in enumerate(names)
    }
    document = {"tasks": names, "at": "parameters", "every": 20, "pairs": pairs, "affinity": rows}
    (folder / "relations.json").write_text(json.dumps(document | more))
    return folder


def test_the_groups_of_a_run(tmp_path: Path) -> None:
    names = ["age", "kind", "price", "sold"]
    affinity = clusters(4)
    found = group(run_with(tmp_path, affinity, names), models=2)
    assert found.groups == (("age", "price"), ("kind", "sold"))
    assert found.affinity["price"] == pytest.approx(affinity[0, 2])
    assert found.affinity["age"] == pytest.approx(affinity[2, 0])
    assert found.total == pytest.approx(sum(found.affinity.values()))
    assert found.total_together == pytest.approx(by_hand(affinity, [[0, 1, 2, 3]]))
    assert found.exact
    assert [one.fraction for one in found.conflicts] == [0.9] * 4 + [0.25] * 2
    assert found.not_compared == ()


def test_it_is_said_in_words_and_in_json(tmp_path: Path) -> None:
    affinity = np.array([[0, 0.0012, -1], [-0.0003, 0, -1], [-1, -1, 0]])
    found = group(run_with(tmp_path, affinity, ["age", "price", "sold"]), models=3)
    text = found.to_text().splitlines()
    assert text[0] == "2 groups of 3 tasks, the best of all partitions into at most 3"
    assert text[1] == "group 1: age, price"
    assert text[2] == "  age: a step for another task of the group adds 0.03 % to its loss"
    assert text[3] == "  price: a step for another task of the group takes 0.12 % off its loss"
    assert text[4] == "group 2: sold"
    assert text[5] == "added over the tasks: +0.09 %; with all in one model: -200 %"
    assert text[6] == "age and price conflict in 90 % of 40 compared steps (mean cosine -0.400)"
    content = json.loads(found.to_json())
    assert content["groups"] == [["age", "price"], ["sold"]]
    assert content["affinity"]["sold"] == 0
    assert content["conflicts"][0] == {"tasks": ["age", "price"], "fraction": 0.9, "cosine": -0.4, "steps": 40}


def test_more_tasks_than_all_partitions_are_tried_for_are_said_to_be_merged(tmp_path: Path) -> None:
    names = [f"t{number:02d}" for number in range(12)]
    found = group(run_with(tmp_path, clusters(12), names), models=2)
    assert not found.exact
    assert "merging and moving" in found.to_text()
    assert found.groups == (tuple(names[::2]), tuple(names[1::2]))


def test_a_pair_never_compared_counts_as_nothing_and_is_named(tmp_path: Path) -> None:
    run = run_with(tmp_path, clusters(3), ["a", "b", "c"], pairs={}, affinity={"a": {}})
    found = group(run, models=2)
    assert found.groups == (("a", "b", "c"),)
    assert found.total == 0
    assert found.not_compared == (("a", "b"), ("a", "c"), ("b", "c"))
    assert "never compared, counted as 0: a and b" in found.to_text()
    assert "no two tasks conflicted" in found.to_text()


def test_a_run_of_few_comparisons_is_said_to_be_one(tmp_path: Path) -> None:
    few = {"a": {"b": {"cosine": -0.5, "conflicts": 1.0, "steps": 3}}}
    run = run_with(tmp_path, clusters(2), ["a", "b"], pairs=few)
    assert "compared in as few as 3 steps: train longer" in group(run, models=1).to_text()
    assert "as few as" not in group(run_with(tmp_path, clusters(2), ["a", "b"]), models=1).to_text()


@pytest.mark.parametrize("models", [-1, 0, 4])
def test_the_number_of_models_lies_between_one_and_that_of_tasks(tmp_path: Path, models: int) -> None:
    with pytest.raises(SpecError, match="expected 1 to 3"):
        group(run_with(tmp_path, clusters(3), ["a", "b", "c"]), models=models)


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"tasks": ["a"]}'])
def test_damage_is_an_error_that_names_the_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "relations.json").write_text(content)
    with pytest.raises(BundleError, match=r"relations\.json: damaged"):
        group(tmp_path, models=1)


SCORE = {"value": 0.5, "low": None, "high": None, "higher_is_better": True}
TASK = {"kind": "binary", "primary": "auroc", "metrics": {"auroc": SCORE}, "baseline": {"auroc": 0.5}, "rows": 1}


def test_a_run_that_did_not_look_says_how_to(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no run"):
        group(tmp_path, models=1)
    (tmp_path / "report.json").write_text(json.dumps({"rows_scored": "test", "tasks": {"y": TASK}}))
    with pytest.raises(BundleError, match=r"balance\.watch: 0.*train again with balance\.watch: auto"):
        group(tmp_path, models=1)
