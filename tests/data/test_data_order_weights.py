"""Rows drawn by weight: as often as they should be, and the same after any interruption."""

import numpy as np
import pytest

from motet.data import Order

WEIGHTS = np.array([4.0, 1.0, 1.0, 2.0])


def drawn(order: Order, epochs: int) -> np.ndarray:
    return np.concatenate([rows for epoch in range(epochs) for rows in order.batches(epoch)])


def test_rows_come_in_proportion_to_their_weights() -> None:
    rows = drawn(Order(np.array([3, 5, 7, 9]), batch_size=3, seed=0, weights=WEIGHTS), 5000)
    assert len(rows) == 4 * 5000
    share = np.array([(rows == row).mean() for row in (3, 5, 7, 9)])
    assert share == pytest.approx(WEIGHTS / 8, abs=0.01)


def test_an_epoch_is_a_function_of_seed_and_epoch_alone() -> None:
    one, other = (Order(50, batch_size=7, seed=1, weights=np.arange(1.0, 51.0)) for _ in range(2))
    assert len(one) == len(one.batches(0)) == 8
    late = one.batches(3)
    drawn(other, 2)
    assert all(np.array_equal(first, second) for first, second in zip(late, other.batches(3), strict=True))
    assert not np.array_equal(np.concatenate(one.batches(3)), np.concatenate(one.batches(4)))


def test_without_weights_every_row_comes_once() -> None:
    assert sorted(drawn(Order(20, batch_size=6, seed=0), 1).tolist()) == list(range(20))
