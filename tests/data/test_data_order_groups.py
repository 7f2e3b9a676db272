"""An order of groups: their rows are neighbours, shuffled anew in every epoch, and nothing is lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.data import Order

GROUPS = np.array([7, 7, 3, 3, 3, 9, 1, 1, 1, 1, 4])
ROWS = np.arange(100, 111)


def order(seed: int = 0, **options: int) -> Order:
    return Order(ROWS, batch_size=4, seed=seed, groups=GROUPS, **options)


def visited(one: Order, epoch: int) -> np.ndarray:
    return np.concatenate(one.batches(epoch))


def num_runs(groups: np.ndarray) -> int:
    return 1 + int((groups[1:] != groups[:-1]).sum())


@given(seed=st.integers(0, 1000), epoch=st.integers(0, 50), groups=st.lists(st.integers(0, 6), min_size=1, max_size=40))
@settings(deadline=None)
def test_an_epoch_visits_every_row_once_and_the_rows_of_a_group_in_a_row(
    seed: int, epoch: int, groups: list[int]
) -> None:
    one = Order(len(groups), batch_size=4, seed=seed, groups=np.array(groups))
    rows = visited(one, epoch)
    assert sorted(rows.tolist()) == list(range(len(groups)))
    assert num_runs(np.array(groups)[rows]) == len(set(groups))
    assert [len(batch) for batch in one.batches(epoch)][:-1] == [4] * (len(one) - 1)


def test_groups_and_the_rows_inside_them_are_shuffled_evenly() -> None:
    """Over many epochs each of the 5 groups comes first, and each of the 4 rows of a group is its first, as often."""
    of = dict(zip(ROWS.tolist(), GROUPS.tolist(), strict=True))
    first_group, first_row = [], []
    for epoch in range(1500):
        rows = visited(order(), epoch).tolist()
        first_group.append(of[rows[0]])
        first_row.append(next(row for row in rows if of[row] == 1))
    for firsts, number in ((first_group, 5), (first_row, 4)):
        counts = np.unique(firsts, return_counts=True)[1]
        assert len(counts) == number
        assert np.abs(counts / 1500 - 1 / number).max() < 0.05  # 4 standard deviations


def test_it_is_a_function_of_seed_and_epoch_alone() -> None:
    one, other = order(), order()
    later = other.batches(5)
    assert [batch.tolist() for batch in one.batches(5)] == [batch.tolist() for batch in later]
    assert visited(one, 5).tolist() == visited(other, 5).tolist()
    assert visited(one, 5).tolist() != visited(one, 6).tolist() != visited(order(seed=1), 6).tolist()


def test_the_numbers_of_groups_do_not_matter() -> None:
    renamed = Order(ROWS, batch_size=4, seed=0, groups=10 * GROUPS + 3)
    assert visited(renamed, 2).tolist() == visited(order(), 2).tolist()


def test_processes_share_the_batches_of_one() -> None:
    whole = order().batches(3)
    parts = [order(rank=rank, count=2).batches(3) for rank in range(2)]
    for number, batch in enumerate(whole):
        assert sorted([*parts[0][number], *parts[1][number]]) == sorted(batch)


def test_groups_of_one_row_are_no_groups() -> None:
    rows = visited(Order(ROWS, batch_size=4, seed=0, groups=np.arange(len(ROWS))), 0)
    assert sorted(rows.tolist()) == ROWS.tolist()
    assert rows.tolist() != ROWS.tolist()


def test_without_a_seed_rows_keep_their_order() -> None:
    assert visited(Order(ROWS, batch_size=4, seed=None, groups=GROUPS), 3).tolist() == ROWS.tolist()


def test_groups_and_weights_exclude_each_other() -> None:
    with pytest.raises(AssertionError, match="do not stay together"):
        Order(ROWS, batch_size=4, seed=0, groups=GROUPS, weights=np.ones(len(ROWS)))
