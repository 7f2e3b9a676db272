"""The point of least norm: by hand, by its optimality conditions, against scipy, and on Grams made to break it."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from motet.balance.simplex import duality_gap, min_norm_weights

KINDS = ("plain", "scaled", "aligned", "repeated or opposed", "positive", "rounded")


def rows_of(kind: str, num_rows: int, width: int, rng: np.random.Generator) -> np.ndarray:
    rows = rng.standard_normal((num_rows, width))
    if kind == "scaled":
        rows *= 10.0 ** rng.uniform(-6, 6, (num_rows, 1))
    if kind == "aligned":
        rows += 3 * rng.standard_normal(width)
    if kind == "repeated or opposed":
        rows = rows[rng.integers(0, num_rows, num_rows)] * rng.choice([-1.0, 1.0], (num_rows, 1))
    if kind == "positive":
        rows = np.abs(rows)
    return rows


def gram_of(kind: str, num_rows: int, width: int, rng: np.random.Generator) -> np.ndarray:
    rows = rows_of(kind, num_rows, width, rng)
    gram = rows @ rows.T
    if kind == "rounded":  # as from float32 products: a little off, not quite semidefinite
        lengths = np.sqrt(np.diag(gram))
        noise = 1e-7 * rng.standard_normal(gram.shape) * np.outer(lengths, lengths)
        np.fill_diagonal(noise, 0.0)
        gram = gram + noise + noise.T
    return gram


@pytest.mark.parametrize(
    ("gram", "weights"),
    [
        ([[4.0, 0.0], [0.0, 1.0]], [0.2, 0.8]),  # orthogonal: inversely as the squares
        ([[1.0, 2.0], [2.0, 9.0]], [1.0, 0.0]),  # the shorter lies within the other's shadow
        ([[1.0, -1.0], [-1.0, 1.0]], [0.5, 0.5]),  # opposed: the origin
        ([[1.0, -10.0], [-10.0, 100.0]], [10 / 11, 1 / 11]),  # opposed, one ten times longer
        ([[1.0, 1.0], [1.0, 1.0]], [0.5, 0.5]),  # equal
        ([[7.0]], [1.0]),
        ([[0.0, 0.0], [0.0, 1.0]], [1.0, 0.0]),  # the zero vector is the shortest
    ],
)
def test_hand_solved(gram: list[list[float]], weights: list[float]) -> None:
    np.testing.assert_allclose(min_norm_weights(np.array(gram)), weights, atol=1e-6)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**31), num_rows=st.integers(1, 16), width=st.integers(1, 30), kind=st.sampled_from(KINDS))
def test_the_duality_gap_closes(seed: int, num_rows: int, width: int, kind: str) -> None:
    gram = gram_of(kind, num_rows, width, np.random.default_rng(seed))
    weights = min_norm_weights(gram)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1.0)
    assert duality_gap(gram, weights) <= (1e-6 if kind == "rounded" else 1e-11) * np.diag(gram).max()


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gram = gram_of("aligned", 6, 20, rng)
    reference = minimize(
        lambda w: w @ gram @ w,
        np.full(6, 1 / 6),
        jac=lambda w: 2 * gram @ w,
        bounds=[(0, 1)] * 6,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(min_norm_weights(gram), reference.x, atol=1e-4)


@pytest.mark.parametrize("seed", range(10))
def test_rows_may_be_permuted_and_scaled(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gram = gram_of("plain", 8, 40, rng)
    order = rng.permutation(8)
    weights = min_norm_weights(gram)
    np.testing.assert_allclose(min_norm_weights(gram[np.ix_(order, order)]), weights[order], atol=1e-9)
    np.testing.assert_allclose(min_norm_weights(gram * 1e20), weights, atol=1e-9)
    np.testing.assert_allclose(min_norm_weights(gram * 1e-20), weights, atol=1e-9)


def test_never_longer_than_any_single_row_or_the_mean() -> None:
    rng = np.random.default_rng(3)
    for kind in KINDS[:-1]:
        gram = gram_of(kind, 5, 12, rng)
        weights = min_norm_weights(gram)
        corners = [*np.diag(gram), gram.mean()]
        assert weights @ gram @ weights <= min(corners) * (1 + 1e-9)


def test_sixteen_rows_take_no_time_that_matters() -> None:
    """A loose alarm only, 20 times the figure: benchmarks measure."""
    gram = gram_of("plain", 16, 200, np.random.default_rng(0))
    start = time.perf_counter()
    for _ in range(10):
        min_norm_weights(gram)
    assert (time.perf_counter() - start) / 10 < 0.02
