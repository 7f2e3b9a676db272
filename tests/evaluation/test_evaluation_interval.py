"""Coverage on simulated scores whose truth is known: 1,000 tables each, 20 sets of draws for 50 tables."""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
import torch
from scipy import stats

from motet.evaluation import score
from motet.evaluation.interval import Resampling, difference, interval_of
from motet.evaluation.quantiles import mid_quantiles, student
from motet.tasks import Binary, Regression
from motet.tasks.metrics import auroc, r2

NORMAL = NormalDist()
Table = tuple[np.ndarray, ...]


def noise(draw: np.random.Generator, groups: np.ndarray | None, num_rows: int) -> np.ndarray:
    """Standard normal, half of its variance shared within a group."""
    own = draw.standard_normal(num_rows)
    return own if groups is None else np.sqrt(0.5) * (own + draw.standard_normal(groups.max() + 1)[groups])


def accuracy_table(draw: np.random.Generator, groups: np.ndarray | None, num_rows: int) -> Table:
    return ((noise(draw, groups, num_rows) < NORMAL.inv_cdf(0.8)).astype(float),)


def accuracy_of(times: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray(times @ right / times.sum(axis=1))


def auroc_table(draw: np.random.Generator, groups: np.ndarray | None, num_rows: int) -> Table:
    positive = draw.random(num_rows) < 0.4
    return positive * np.sqrt(2) * NORMAL.inv_cdf(0.9) + noise(draw, groups, num_rows), positive


def auroc_of(times: np.ndarray, value: np.ndarray, positive: np.ndarray) -> np.ndarray:
    above, below = times[:, positive], times[:, ~positive]
    wins = ((above @ (value[positive][:, None] > value[~positive]).astype(float)) * below).sum(axis=1)
    return np.asarray(wins / (above.sum(axis=1) * below.sum(axis=1)))


def r2_table(draw: np.random.Generator, groups: np.ndarray | None, num_rows: int) -> Table:
    value = noise(draw, groups, num_rows)
    return value, value + noise(draw, groups, num_rows)


def r2_of(times: np.ndarray, value: np.ndarray, truth: np.ndarray) -> np.ndarray:
    count = times.sum(axis=1)
    spread = times @ truth**2 - (times @ truth) ** 2 / count
    return np.asarray(1 - times @ (truth - value) ** 2 / spread)


CASES: dict[str, tuple[Callable[..., Table], Callable[..., np.ndarray], float]] = {
    "accuracy": (accuracy_table, accuracy_of, 0.8),
    "auroc": (auroc_table, auroc_of, 0.9),
    "r2": (r2_table, r2_of, 0.5),
}


@pytest.mark.parametrize(("num_rows", "num_groups"), [(100, None), (400, None), (400, 40)])
@pytest.mark.parametrize("name", list(CASES))
def test_95_percent_intervals_hold_the_truth_in_95_percent_of_tables(
    name: str, num_rows: int, num_groups: int | None
) -> None:
    table_of, score_of, truth = CASES[name]
    draw = np.random.default_rng([num_rows, num_groups or 0])
    groups = None if num_groups is None else draw.permutation(np.arange(num_rows) % num_groups)
    held = 0
    for seed in range(20):
        resampling = Resampling(num_rows, groups, seed, 200)
        times = np.stack([np.bincount(rows, minlength=num_rows) for rows in resampling.rows()]).astype(float)
        for _ in range(50):
            table = table_of(draw, groups, num_rows)
            value = score_of(np.ones((1, num_rows)), *table)[0]
            low, high = resampling.bounds(value, score_of(times, *table), level=0.95)
            held += low <= truth <= high
    assert 0.93 <= held / 1000 <= 0.97


def test_rows_drawn_one_by_one_would_claim_too_much_where_they_come_in_groups() -> None:
    draw = np.random.default_rng(0)
    groups = np.arange(400) % 40
    held = 0
    for _ in range(200):
        (right,) = accuracy_table(draw, groups, 400)
        low, high = Resampling(400, None, 0, 100).bounds(
            float(right.mean()), right[draw.integers(400, size=(100, 400))].mean(axis=1), level=0.95
        )
        held += low <= 0.8 <= high
    assert held / 200 < 0.85


@pytest.mark.parametrize("groups", [None, np.arange(60) // 3])
def test_score_and_interval_of_are_the_same_draws_and_bounds(groups: np.ndarray | None) -> None:
    generator = torch.Generator().manual_seed(0)
    target = (torch.rand(60, generator=generator) < 0.5).float()
    output = target + torch.randn(60, generator=generator)
    found = score(Binary().fit(["no", "yes"]), output, target, groups=groups, seed=3)["auroc"]
    values, positive = output.double().numpy(), target.numpy() == 1
    one = interval_of(lambda rows: auroc(values[rows], positive[rows]), 60, groups=groups, seed=3)
    assert (found.value, found.low, found.high) == pytest.approx((one.value, one.low, one.high), rel=1e-12)

    codec = Regression().fit([-1.0, 1.0])
    found = score(codec, output, target, groups=groups, seed=3, level=0.5)["r2"]
    truth = target.double().numpy()
    one = interval_of(lambda rows: r2(values[rows], truth[rows]), 60, groups=groups, seed=3, level=0.5)
    assert (found.low, found.high) == pytest.approx((one.low, one.high))


def test_a_draw_has_all_rows_of_a_group_or_none_and_as_many_groups_as_there_are() -> None:
    groups = np.array([5, 2, 5, 9, 2, 5])
    for index, rows in enumerate(Resampling(6, groups, 0, 30).rows()):
        times = np.bincount(rows.numpy(), minlength=6)
        by_group = {group: set(times[groups == group]) for group in (2, 5, 9)}
        assert all(len(found) == 1 for found in by_group.values())
        assert sum(max(found) for found in by_group.values()) == (3 if index < 30 else 2)  # then one block is left out


def test_the_bounds_are_those_of_efron_by_hand() -> None:
    draw = np.random.default_rng(0)
    sample = draw.exponential(size=40)
    resampling = Resampling(40, None, 0, 400)
    scores = np.array([sample[rows.numpy()].mean() for rows in resampling.rows()])
    low, high = resampling.bounds(sample.mean(), scores, level=0.9)

    draws, without = np.sort(scores[:400]), scores[400:]
    assert sorted(without) == pytest.approx(sorted(np.delete(sample, one).mean() for one in range(40)))
    lost = without.mean() - without
    acceleration = (lost**3).sum() / (6 * (lost**2).sum() ** 1.5)
    bias = stats.norm.ppf(((draws < sample.mean()).sum() + 0.5) / 401)
    wide = math.sqrt(40 / 39) * stats.t.ppf(0.95, 39)
    for found, z in ((low, -wide), (high, wide)):
        place = stats.norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
        assert found == pytest.approx(np.quantile(draws, place, method="weibull"), rel=1e-3)
    assert acceleration > 0.01
    assert high - sample.mean() > sample.mean() - low  # the long tail is on the side where it is


@pytest.mark.parametrize("freedom", [5, 9, 29, 1000])
def test_the_quantile_of_student(freedom: int) -> None:
    for share in (0.75, 0.95, 0.975):
        assert student(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=0.01)


def test_quantiles_of_equal_values_lie_in_their_middle() -> None:
    assert mid_quantiles(np.arange(1.0, 10.0), (0.1, 0.9)) == pytest.approx((1.0, 9.0))
    assert mid_quantiles(np.array([3.0, 3.0, 3.0]), (0.01, 0.99)) == (3.0, 3.0)


def test_a_difference_is_paired_and_by_group() -> None:
    draw = np.random.default_rng(0)
    hard = (
        draw.standard_normal(20)[np.arange(100) // 5] * 10
    )  # what all rows of a group share cancels in the difference
    first, second = hard + 1 + 0.1 * draw.standard_normal(100), hard
    one = difference(
        lambda rows: float(first[rows].mean()),
        lambda rows: float(second[rows].mean()),
        100,
        groups=np.arange(100) // 5,
        seed=0,
    )
    assert one.value == pytest.approx(1, abs=0.05)
    assert 0.9 < one.low < one.value < one.high < 1.1


def test_what_does_not_exist() -> None:
    assert math.isnan(interval_of(lambda rows: math.nan, 5, seed=0).low)
    nothing = interval_of(lambda rows: math.nan, 0, seed=0)
    assert math.isnan(nothing.value)
    assert math.isnan(nothing.high)
    one = interval_of(lambda rows: 2.0, 1, seed=0)
    assert one.value == 2
    assert math.isnan(one.low)
    assert math.isnan(one.high)


def test_a_score_that_draws_only_push_up_still_lies_in_its_bounds() -> None:
    draws = np.linspace(1.0, 2.0, 200)
    low, high = Resampling(50, None, 0, 200).bounds(0.9, draws, level=0.95)
    assert low == 0.9
    assert 0.9 < high < 2.0
