"""Keyed draws: a function of the key alone, and as good as chance."""

import pytest
import torch

from motet.core.seed import key
from motet.nn import bernoulli, current_row_keys, keys_of, row_keys, uniform

KEYS = keys_of(torch.arange(512), 0, "test")


def test_a_row_draws_the_same_among_any_others() -> None:
    some = torch.tensor([7, 300, 12])
    assert torch.equal(uniform(KEYS, salt=1, count=64)[some], uniform(KEYS[some], salt=1, count=64))


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    assert torch.equal(uniform(KEYS, salt=1, count=64)[:, :10], uniform(KEYS, salt=1, count=10))


def test_salt_and_parts_change_every_draw() -> None:
    draws = [
        uniform(keys_of(torch.arange(4), *parts), salt=salt, count=4)
        for parts, salt in [((0,), 0), ((1,), 0), ((0,), 1)]
    ]
    for first, second in [(0, 1), (0, 2), (1, 2)]:
        assert (draws[first] != draws[second]).all()


def test_uniform_fills_the_unit_interval_evenly() -> None:
    draws = uniform(KEYS, salt=3, count=512).flatten()
    assert 0 <= draws.min() < 1e-4
    assert 1 - 1e-4 < draws.max() < 1
    counts = torch.histc(draws, bins=64, min=0, max=1)
    expected = len(draws) / 64
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert 25 < chi_square < 115  # 63 degrees of freedom: beyond these 1 in 100,000


@pytest.mark.parametrize("salt", [0, 1, 2**62 + 12345])
@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_bernoulli_is_fair_in_every_row_and_every_column(salt: int, probability: float) -> None:
    draws = bernoulli(KEYS, salt=salt, count=512, probability=probability).double()
    deviation = (probability * (1 - probability)) ** 0.5
    for dim in (0, 1):
        z = (draws.mean(dim) - probability) / (deviation / 512**0.5)
        assert z.abs().max() < 5
        assert 0.8 < z.var() < 1.2


def test_draws_of_different_rows_columns_and_salts_are_uncorrelated() -> None:
    draws = bernoulli(KEYS, salt=5, count=512, probability=0.5).double() * 2 - 1
    other = bernoulli(KEYS, salt=6, count=512, probability=0.5).double() * 2 - 1
    for product in (draws @ draws.T, draws.T @ draws, draws @ other.T, draws.T @ other):
        off_diagonal = product[~torch.eye(512, dtype=torch.bool)] / 512**0.5
        assert off_diagonal.abs().max() < 6
        assert 0.95 < off_diagonal.var() < 1.05


def test_consecutive_keys_are_as_good_as_mixed_ones() -> None:
    draws = bernoulli(torch.arange(512), salt=0, count=512, probability=0.25).double()
    assert ((draws.mean(0) - 0.25).abs() < 5 * (0.25 * 0.75 / 512) ** 0.5).all()


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_certain_draws(probability: float) -> None:
    assert (bernoulli(KEYS, salt=0, count=99, probability=probability) == bool(probability)).all()


def test_blocks_nest_and_end() -> None:
    outer, inner = torch.tensor([1, 2]), torch.tensor([2])
    with row_keys(outer):
        with row_keys(inner):
            assert current_row_keys() is inner
        assert current_row_keys() is outer
    assert current_row_keys() is None


def test_the_keys_are_those_of_splitmix64() -> None:
    """Its first three outputs from state 1234567, as other implementations publish them."""
    states = 1234567 + torch.arange(3) * (0x9E3779B97F4A7C15 - 2**64)
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423 - 2**64]
    assert mixed(states).tolist() == expected


def mixed(states: torch.Tensor) -> torch.Tensor:
    return keys_of(states - key("anything"), "anything")
