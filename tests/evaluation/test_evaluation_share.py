"""What was never seen may still be there: intervals of shares near 0 and 1, and of differences few rows make."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from scipy import stats

from motet.evaluation.interval import Resampling, difference, interval_of
from motet.evaluation.share import effective, share_bounds

NORMAL = NormalDist()


def noise(draw: np.random.Generator, groups: np.ndarray | None, num_rows: int) -> np.ndarray:
    """Standard normal, half of its variance shared within a group."""
    own = draw.standard_normal(num_rows)
    return own if groups is None else np.sqrt(0.5) * (own + draw.standard_normal(groups.max() + 1)[groups])


SHARES = [
    *((p, n, None) for p, n in [(0.5, 50), (0.8, 50), (0.95, 50), (0.95, 100), (0.98, 50), (0.98, 100), (0.98, 400)]),
    *((p, n, None) for p, n in [(0.99, 50), (0.99, 100), (0.99, 400)]),
    *((p, 400, 40) for p in (0.95, 0.99)),
]


def held_by_shares(p: float, num_rows: int, num_groups: int | None) -> float:
    """1,000 tables of which rows are right with probability p; half of the variance behind it is that of groups."""
    draw = np.random.default_rng([int(100 * p), num_rows])
    groups = None if num_groups is None else np.arange(num_rows) % num_groups
    held = 0
    for seed in range(10):
        resampling = Resampling(num_rows, groups, seed, 200)
        times = np.stack([np.bincount(rows, minlength=num_rows) for rows in resampling.rows()]).astype(float)
        right = np.stack([noise(draw, groups, num_rows) < NORMAL.inv_cdf(p) for _ in range(100)]).astype(float)
        found: dict[bytes, tuple[float, float]] = {}
        for row, scores in zip(right, (right @ times.T) / times.sum(axis=1), strict=True):
            key = scores.tobytes()  # few tables of rare mistakes differ
            found[key] = found.get(key) or resampling.bounds(row.mean(), scores, level=0.95)
            held += found[key][0] <= p <= found[key][1]
    return held / 1000


@pytest.mark.parametrize(("p", "num_rows", "num_groups"), SHARES)
def test_intervals_of_shares_hold_the_truth_however_few_rows_are_wrong(
    p: float, num_rows: int, num_groups: int | None
) -> None:
    """Where about ten rows or more are wrong not in too many tables either; k of n can not be had in 95 % below."""
    held = held_by_shares(p, num_rows, num_groups)
    assert 0.93 <= held <= (0.97 if num_rows * (1 - p) >= 8 and num_groups is None else 1)


@pytest.mark.parametrize("hits", [0, 1, 3, 50, 98, 100])
def test_bounds_of_a_share_are_those_of_the_binomial_distribution(hits: int) -> None:
    low, high = share_bounds(hits / 100, 100, level=0.9)
    above = [stats.binom.sf(hits, 100, p) + stats.binom.pmf(hits, 100, p) / 2 for p in (low, high)]
    assert (low == 0) if hits == 0 else (above[0] == pytest.approx(0.05))
    assert (high == 1) if hits == 100 else (above[1] == pytest.approx(0.95))


def test_of_groups_a_share_is_known_as_well_as_the_groups_tell_it() -> None:
    assert effective(0.99, 0.99 * 0.01 / 100, 100) == pytest.approx(100)  # rows by themselves
    assert effective(0.9, 0.1 * 0.9 / 400, 40) == pytest.approx(41 / (40 / 400 + 1 / 40))  # groups like rows
    assert effective(0.99, 0.0099 / 400, 40) == pytest.approx(5 / (4 / 400 + 1 / 40))  # of four mistakes, much less
    assert effective(1.0, 0.0, 40) == 40


def test_right_in_every_row_is_not_right_for_sure() -> None:
    always = interval_of(lambda rows: 1.0, 20, seed=0)
    assert always.low == pytest.approx(0.05 ** (1 / 20))  # half of P(20 of 20 | low) is the tail
    assert always.high == 1
    half = torch.tensor([1.0, 0.0] * 24)
    for groups in (np.zeros(48, dtype=int), np.repeat([0, 1], 24)):
        one = interval_of(lambda rows: half[rows].mean().item(), 48, groups=groups, seed=0)
        assert math.isnan(one.low) if groups.max() == 0 else one.high - one.low > 0.6
    errors = interval_of(lambda rows: 7.0, 20, seed=0)  # no range is known
    assert math.isnan(errors.low)
    assert math.isnan(errors.high)


@pytest.mark.parametrize("rate", [0.01, 0.02, 0.05])
def test_differences_that_rest_on_few_rows_do_not_claim_too_much(rate: float) -> None:
    """As many rows are right in one model alone as in the other: about 5 % of tables at most may say otherwise."""
    draw = np.random.default_rng(0)
    claims = 0
    for seed in range(10):
        resampling = Resampling(50, None, seed, 200)
        times = np.stack([np.bincount(rows, minlength=50) for rows in resampling.rows()])
        for chance in draw.random((100, 50)):
            apart = (chance < rate).astype(int) - (chance > 1 - rate)
            scores = times @ apart / times.sum(axis=1)
            low, high = resampling.bounds(apart.mean(), scores, level=0.95, paired=True)
            claims += low > 0 or high < 0
    assert claims / 1000 <= 0.06


def test_a_difference_all_units_agree_on_is_not_known_exactly() -> None:
    one = difference(lambda rows: 1.0, lambda rows: 0.0, 20, seed=0)
    assert one.low == pytest.approx(2 * 0.05 ** (1 / 20) - 1)  # of -1 are no more than that share of units
    assert one.high == 1
    assert difference(lambda rows: 9.0, lambda rows: 4.0, 2, seed=0).low < 0  # two units may agree by chance
    same = difference(lambda rows: 0.5, lambda rows: 0.5, 20, seed=0)
    assert (same.low, same.high) == (0, 0)
    assert math.isnan(difference(lambda rows: 1.0, lambda rows: 0.0, 1, seed=0).low)
