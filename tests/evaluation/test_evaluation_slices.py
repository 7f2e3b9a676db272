"""Rows of one value: columns as values, metrics beside all other rows, and bad slices that nobody asked for."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from motet.evaluation.rowwise import RowScores
from motet.evaluation.sampling import Sampling
from motet.evaluation.slices import slices
from motet.evaluation.subgroups import subgroups
from motet.evaluation.values import Values, values_of
from motet.tasks import Binary, Regression

NUM_ROWS = 600


def columns(random: np.random.Generator, count: int = 5) -> dict[str, Values]:
    return {f"c{i}": Values(("x", "y", "z"), random.choice(3, NUM_ROWS, p=[0.5, 0.3, 0.2])) for i in range(count)}


def right(share: NDArray[np.float64] | float, random: np.random.Generator) -> RowScores:
    return RowScores("accuracy", (random.random(NUM_ROWS) < share).astype(np.float64), True)


# --- values


def test_numbers_are_put_in_quarters_and_few_ones_stay() -> None:
    found = values_of([str(number) for number in range(100)], least=5)
    assert found.names == ("0 to 24", "25 to 49", "50 to 74", "75 to 99")
    assert np.bincount(found.number).tolist() == [25, 25, 25, 25]
    assert values_of([3, 1, 1, 3, 2], least=1).names == ("1", "3", "2")
    skewed = values_of([0] * 80 + list(range(1, 21)) + [None] * 7, least=5)
    assert (skewed.names[0], skewed.names[-1]) == ("0", "absent")
    assert (skewed.number[:80] == 0).all()
    assert (np.bincount(skewed.number) >= 5).all()


def test_rare_values_are_together_or_left_out() -> None:
    cells = ["a"] * 10 + ["b"] * 6 + ["c"] * 3 + ["d"] * 2 + [None]
    assert values_of(cells, least=5).names == ("a", "b", "all others")
    assert np.bincount(values_of(cells, least=5).number).tolist() == [10, 6, 6]
    found = values_of(cells[:-2], least=6)
    assert found.names == ("a", "b")
    assert (found.number < 0).sum() == 4
    assert values_of([], least=5).names == ()
    assert values_of([None, None], least=1).names == ("absent",)
    assert values_of([["x", "y"], ["x", "y"], True], least=1).names == ("x, y", "true")


# --- subgroups


def test_a_subgroup_is_scored_as_its_rows_alone() -> None:
    random = torch.Generator().manual_seed(0)
    output, target = torch.randn(200, generator=random), (torch.rand(200, generator=random) < 0.5).float()
    number = (torch.arange(200) % 3).numpy()
    codec = Binary().fit(["no", "yes"])
    values = {"c": Values(("x", "y", "z"), number)}
    found = subgroups(codec, "auroc", output, target, values, sampling=Sampling(seed=0))["c"]
    auroc = next(one for one in codec.metrics() if one.name == "auroc").compute
    for place, one in enumerate(found):
        inside = torch.from_numpy(number == place)
        assert one.rows == int(inside.sum())
        assert one.metric.value == pytest.approx(auroc(output[inside], target[inside]))
        apart = auroc(output[inside], target[inside]) - auroc(output[~inside], target[~inside])
        assert one.difference.value == pytest.approx(apart)
        assert one.difference.low < one.difference.value < one.difference.high


def test_a_subgroup_that_differs_has_an_interval_that_says_so() -> None:
    random = np.random.default_rng(0)
    number = np.arange(NUM_ROWS) % 2
    error = torch.from_numpy(random.normal(size=NUM_ROWS) * np.where(number == 0, 1.0, 3.0))
    values = {"c": Values(("calm", "wild"), number)}
    found = subgroups(Regression().fit([0, 2]), "mae", error, torch.zeros(NUM_ROWS), values, sampling=Sampling(seed=0))
    assert found["c"][0].difference.high < 0 < found["c"][1].difference.low


# --- groups of rows


def test_rows_of_a_group_are_drawn_together() -> None:
    groups = np.repeat(np.arange(40), 10)
    values = torch.from_numpy(np.repeat(np.random.default_rng(0).normal(size=40), 10))
    apart, together = (
        Sampling(seed=0, resamples=300, groups=one).of(lambda rows: float(values[rows].mean()), 400)
        for one in (None, groups)
    )
    assert apart.value == pytest.approx(together.value)
    assert (together.high - together.low) / (apart.high - apart.low) == pytest.approx(np.sqrt(10), rel=0.3)
    part = Sampling(seed=0, groups=groups).among(np.array([5, 15, 16]))
    assert part.groups is not None
    assert part.groups.tolist() == [0, 1, 1]


# --- slices


def test_nothing_is_claimed_on_noise() -> None:
    """Of 60 tables without a bad slice, few have one by chance: 5 % are allowed to."""
    claimed = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        claimed += bool(slices(right(0.85, random), columns(random), sampling=Sampling(seed=seed, resamples=2)))
    assert claimed <= 7  # P(Binomial(60, 0.05) > 7) = 1 %


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_planted_value_is_the_only_slice(share: float) -> None:
    random = np.random.default_rng(1)
    known = columns(random)
    bad = known["c2"].number == 2
    found = slices(right(np.where(bad, share - 0.35, share), random), known, sampling=Sampling(seed=0))
    assert [one.where for one in found] == [(("c2", "z"),)]
    assert found[0].rows == bad.sum()
    assert found[0].by == "accuracy"
    assert found[0].metric.low <= found[0].metric.value <= found[0].metric.high
    assert found[0].difference.low < -0.35 + 0.1
    assert found[0].difference.high < 0


def test_a_planted_pair_is_found_as_a_pair() -> None:
    random = np.random.default_rng(2)
    known = columns(random)
    bad = (known["c0"].number == 0) & (known["c3"].number == 1)
    found = slices(right(np.where(bad, 0.4, 0.9), random), known, sampling=Sampling(seed=0))
    assert [one.where for one in found] == [(("c0", "x"), ("c3", "y"))]


def test_the_worst_of_two_comes_first_and_errors_count_as_bad() -> None:
    random = np.random.default_rng(3)
    known = columns(random)
    size = np.where(known["c0"].number == 1, 3.0, np.where(known["c4"].number == 2, 2.0, 1.0))
    errors = RowScores("mae", np.abs(random.normal(size=NUM_ROWS)) * size, False)
    found = slices(errors, known, sampling=Sampling(seed=0))
    assert found[0].where == (("c0", "y"),)
    differences = [one.difference.value for one in found]
    assert differences == sorted(differences, reverse=True)
    assert all(one.difference.low > 0 for one in found)


def test_groups_that_differ_are_no_slices() -> None:
    """Thirty groups, each hard or easy by itself; what a column says of a whole group has nothing to do with that."""
    groups, claimed = np.arange(NUM_ROWS) % 30, {"rows": 0, "groups": 0}
    for seed in range(40):
        random = np.random.default_rng(seed)
        scores = right(random.uniform(0.4, 1.0, 30)[groups], random)
        of_groups = {f"c{i}": Values(("x", "y"), random.choice(2, 30)[groups]) for i in range(4)}
        claimed["rows"] += bool(slices(scores, of_groups, sampling=Sampling(seed=0, resamples=2)))
        together = Sampling(seed=0, resamples=2, groups=groups)
        claimed["groups"] += bool(slices(scores, of_groups, sampling=together))
    assert claimed["rows"] > 20
    assert claimed["groups"] <= 5  # P(Binomial(40, 0.05) > 5) = 1 %


def test_without_anything_to_compare_there_is_no_slice() -> None:
    random = np.random.default_rng(5)
    assert slices(right(1.0, random), columns(random), sampling=Sampling(seed=0)) == ()
    assert slices(right(0.5, random), {}, sampling=Sampling(seed=0)) == ()
    alone = {"c": Values(("x",), np.zeros(NUM_ROWS, dtype=np.int64))}
    assert slices(right(0.5, random), alone, sampling=Sampling(seed=0)) == ()


def test_of_one_group_neither_a_score_nor_a_difference_is_known() -> None:
    """Where the values are the groups themselves, draws hold the group of a value whole or not at all."""
    draw = np.random.default_rng(0)
    target = torch.ones(200)
    output = torch.from_numpy(np.where(draw.random(200) < 0.7, 1.0, -1.0)).float()
    groups = np.arange(200) // 40
    names = ("a", "b", "others")
    values = {"patient": Values(names, np.minimum(groups, 2))}
    sampling = Sampling(seed=0, groups=groups)
    codec = Binary().fit(["no", "yes"])
    one, two, several = subgroups(codec, "accuracy", output, target, values, sampling=sampling)["patient"]
    for found in (one.metric, two.metric, one.difference, two.difference):
        assert np.isfinite(found.value)
        assert np.isnan([found.low, found.high]).all()
    assert several.metric.low < several.metric.value < several.metric.high
    assert several.difference.low < several.difference.value < several.difference.high
    but_one = {"patient": Values(("a",), np.minimum(groups, 1) - 1)}  # the other rows are one group
    [found] = subgroups(codec, "accuracy", output, target, but_one, sampling=sampling)["patient"]
    assert np.isnan([found.difference.low, found.metric.low]).tolist() == [True, False]
