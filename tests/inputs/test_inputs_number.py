"""Numbers: read exactly or refused, and a piecewise-linear code of them."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.core.errors import CellError
from motet.core.numerals import LARGEST, to_float
from motet.inputs import Number
from motet.inputs.number import NumberPreparation

READABLE = st.floats(min_value=-LARGEST, max_value=LARGEST)


@given(READABLE)
def test_every_way_of_writing_a_float_is_read_exactly(number: float) -> None:
    for cell in (number, repr(number), f" {number!r}\t", Decimal(number), np.float64(number)):
        assert to_float(cell) == number


@pytest.mark.parametrize(
    ("cell", "value"),
    [("007", 7), ("+1.", 1), (".5", 0.5), ("-0", 0), ("1E3", 1000), ("0e999", 0), (True, 1), (np.bool_(False), 0)],
)
def test_plain_numbers(cell: object, value: float) -> None:
    assert to_float(cell) == value


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("1,5", "decimal point"),
        ("1.234,56", "decimal point"),
        ("NA", r"missing: \['NA'\]"),
        ("-", r"missing: \['-'\]"),
        ("nan", r"missing: \['nan'\]"),
        ("", r"missing: \[''\]"),
        ("inf", "not a finite number"),
        ("-Infinity", "not a finite number"),
        (float("inf"), "too large"),
        (float("nan"), "NaN"),
        ("1e400", "too large"),
        ("-1e151", "too large"),
        (10**400, "too large"),
        (Decimal("1e400"), "too large"),
        ("1e-400", "too small"),
        (Decimal("1e-400"), "too small"),
        ("1_000", "not a number"),
        ("0x10", "not a number"),
        ("five", "not a number"),
        ("\uff11\uff12", "not a number"),
        ("1 2", "not a number"),
        (1 + 2j, "of type complex"),
        ([1], "of type list"),
        (None, "of type NoneType"),
    ],
)
def test_what_is_no_number_is_refused_with_the_reason(cell: object, reason: str) -> None:
    with pytest.raises(CellError, match=reason):
        to_float(cell)


def features(preparation: NumberPreparation, *numbers: float) -> np.ndarray:
    return preparation.batch([preparation.read(number) for number in numbers])["features"].numpy()


def test_the_piecewise_code_by_hand() -> None:
    preparation = Number(bins=2).fit([0, 1, 2, 3, 10])
    assert preparation.edges == (0, 2, 10)
    np.testing.assert_allclose(features(preparation, 1, 6)[:, 1:], [[0.5, 0], [1, 0.5]])
    deviation = np.std([0, 1, 2, 3, 10])
    np.testing.assert_allclose(features(preparation, 6)[:, 0], (6 - 3.2) / deviation, rtol=1e-6)


def test_beyond_the_edges_only_the_scaled_value_goes_on_for_one_range() -> None:
    preparation = Number(bins=2).fit([0, 1, 2])
    near, far, farther = features(preparation, 3.5, 4, 1e150)
    assert near[0] < far[0] == farther[0]
    assert near[1:].tolist() == far[1:].tolist() == [1, 1]


def test_the_code_is_monotone_and_tells_training_values_apart() -> None:
    x = np.sort(np.random.default_rng(0).lognormal(sigma=3, size=200))
    for scaling in ("standard", "quantile"):
        code = features(Number(scaling=scaling).fit(x), *x)
        assert (np.diff(code, axis=0) >= 0).all()
        assert (np.diff(code, axis=0).max(axis=1) > 0).all()


def test_quantile_scaling_gives_rank_whatever_the_tail() -> None:
    x = np.exp(np.linspace(-5, 20, 1001))
    z = features(Number(scaling="quantile", encoding="linear").fit(x), *x)
    np.testing.assert_allclose(z[:, 0], np.linspace(-1, 1, 1001) * np.sqrt(3), atol=0.01)
    assert z.shape == (1001, 1)


def test_quantile_scaling_gives_a_common_value_the_middle_of_its_ranks() -> None:
    z = features(Number(scaling="quantile", encoding="linear").fit([0, 0, 0, 0, 1]), 0)
    assert z[0, 0] == pytest.approx(-np.sqrt(3) * 0.25, abs=0.05)


@given(st.lists(READABLE, min_size=1, max_size=20), READABLE)
def test_features_are_finite_whatever_was_seen(seen: list[float], number: float) -> None:
    for spec in (Number(), Number(scaling="quantile", bins=3), Number(encoding="linear")):
        assert np.isfinite(features(spec.fit(seen), number, *seen)).all()


def test_a_value_that_fills_most_quantiles_leaves_bins_to_the_others() -> None:
    cells = [0] * 92 + list(range(1000, 1800, 100))
    edges = np.array(Number(bins=8).fit(cells).edges)
    assert len(edges) <= 9
    assert (edges > 0).sum() >= 6, "the eight values beside the zeros are told apart"
