"""How often the rows of each table are drawn: shares by hand, and what the draws come to."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.core.errors import SpecError
from motet.data import Order, Table, read_table, table_weights
from motet.data.draws import check_sampling


def table_of(*sizes: int) -> Table:
    return read_table([{"table": [{"x": 0}] * size, "name": f"t{n}"} for n, size in enumerate(sizes)])


def shares(sampling: Any, *sizes: int) -> list[float]:
    """What part of an epoch each table is, by the weights of its rows."""
    table = table_of(*sizes)
    weights = table_weights(sampling, table, np.arange(sum(sizes)))
    assert weights is not None
    assert weights.mean() == pytest.approx(1)
    return [float(weights[own].sum() / weights.sum()) for own in table.by_table().values()]


def test_shares_by_hand() -> None:
    assert shares("equal", 6, 3, 1) == pytest.approx([1 / 3] * 3)
    assert shares(2.0, 16, 4) == pytest.approx([4 / 6, 2 / 6])
    assert shares(4, 81, 16, 1) == pytest.approx([3 / 6, 2 / 6, 1 / 6])
    assert shares({"t0": 2, "t1": 1}, 5, 50) == pytest.approx([2 / 3, 1 / 3])
    assert shares(1e-3, 10, 9) == pytest.approx([1, 0])
    assert shares(1e9, 10, 90) == pytest.approx([0.5, 0.5])


@settings(deadline=None)
@given(st.lists(st.integers(1, 500), min_size=2, max_size=5, unique=True), st.floats(0.3, 20))
def test_a_temperature_is_the_equation_of_its_paper(sizes: list[int], temperature: float) -> None:
    """q_l = p_l^(1/T) / sum_k p_k^(1/T), p_l = D_l / sum_k D_k (Arivazhagan et al., 2019, section 4.2)."""
    if temperature == 1:
        return
    p = [size / sum(sizes) for size in sizes]
    q = [one ** (1 / temperature) for one in p]
    assert shares(temperature, *sizes) == pytest.approx([one / sum(q) for one in q])


@pytest.mark.parametrize("sampling", ["size", 1, {"t0": 3, "t1": 6}])
def test_where_every_row_is_wanted_alike_every_row_comes_once(sampling: Any) -> None:
    assert table_weights(sampling, table_of(10, 20), np.arange(30)) is None


def test_only_training_rows_count() -> None:
    weights = table_weights("equal", table_of(10, 10), np.array([0, 1, 2, 10]))
    assert weights is not None
    assert weights.tolist() == pytest.approx([2 / 3] * 3 + [2])


def test_rows_are_drawn_by_their_share() -> None:
    table = table_of(30, 10)
    rows = np.arange(40)
    order = Order(rows, batch_size=8, seed=0, weights=table_weights({"t0": 1, "t1": 4}, table, rows))
    drawn = np.concatenate([batch for epoch in range(500) for batch in order.batches(epoch)])
    assert len(drawn) == 500 * 40
    assert float((drawn >= 30).mean()) == pytest.approx(0.8, abs=0.01)


def test_numbers_have_to_name_the_tables() -> None:
    with pytest.raises(SpecError, match=r"no table of training rows is called 't2'; choose from t0, t1"):
        check_sampling({"t0": 1, "t2": 1}, table_of(2, 3), np.arange(5))
    with pytest.raises(SpecError, match=r"table 't1' is not among t0"):
        check_sampling({"t0": 1}, table_of(2, 3), np.arange(5))
