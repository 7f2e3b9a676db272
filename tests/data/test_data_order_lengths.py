"""An order by length: rows of like length meet in a batch, every row once, and chance has its say."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.data import Order

CHANCE = np.random.default_rng(0)
LENGTHS = np.minimum(CHANCE.geometric(0.06, size=(4000, 2)), 120)
BATCH = 32


def waste(order: Order, epoch: int, lengths: np.ndarray) -> float:
    """The part of all steps that is padding, over whole batches."""
    batches = [lengths[rows] for rows in order.batches(epoch)]
    padded = sum(one.max() * len(one) for one in batches)
    return 1 - sum(int(one.sum()) for one in batches) / padded


@given(
    seed=st.integers(0, 1000),
    epoch=st.integers(0, 50),
    lengths=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=60),
    columns=st.integers(1, 2),
)
@settings(deadline=None)
def test_an_epoch_visits_every_row_once(seed: int, epoch: int, lengths: list[tuple[int, int]], columns: int) -> None:
    order = Order(len(lengths), batch_size=4, seed=seed, lengths=np.array(lengths)[:, :columns])
    batches = order.batches(epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert [len(batch) for batch in batches][:-1] == [4] * (len(order) - 1)
    again = Order(len(lengths), batch_size=4, seed=seed, lengths=np.array(lengths)[:, :columns]).batches(epoch)
    assert all(np.array_equal(one, other) for one, other in zip(batches, again, strict=True))


def test_padding_of_one_column_is_under_a_tenth() -> None:
    mixed = Order(4000, batch_size=BATCH, seed=0)
    alike = Order(4000, batch_size=BATCH, seed=0, lengths=LENGTHS[:, :1])
    assert waste(mixed, 0, LENGTHS[:, 0]) > 0.5
    assert waste(alike, 0, LENGTHS[:, 0]) < 0.1


def test_of_two_columns_both_are_padded_less() -> None:
    mixed = Order(4000, batch_size=BATCH, seed=0)
    alike = Order(4000, batch_size=BATCH, seed=0, lengths=LENGTHS)
    for column in range(2):
        assert waste(alike, 0, LENGTHS[:, column]) < 0.6 * waste(mixed, 0, LENGTHS[:, column])


def test_which_rows_meet_and_when_their_batch_comes_differs_between_epochs() -> None:
    alike = Order(4000, batch_size=BATCH, seed=0, lengths=LENGTHS[:, :1])
    met = [{frozenset(batch.tolist()) for batch in alike.batches(epoch)} for epoch in range(2)]
    assert len(met[0] & met[1]) < 0.1 * len(met[0])
    firsts = [LENGTHS[alike.batches(epoch)[0], 0].mean() for epoch in range(40)]
    assert np.std(firsts) > 5
    position = np.corrcoef(np.arange(124), [LENGTHS[batch, 0].mean() for batch in alike.batches(0)[:124]])[0, 1]
    assert abs(position) < 0.3


def test_processes_divide_each_batch() -> None:
    whole = Order(100, batch_size=8, seed=0, lengths=LENGTHS[:100]).batches(3)
    parts = [Order(100, batch_size=8, seed=0, lengths=LENGTHS[:100], rank=rank, count=2).batches(3) for rank in (0, 1)]
    for batch, one, other in zip(whole, *parts, strict=True):
        assert sorted([*one.tolist(), *other.tolist()]) == sorted(batch.tolist())


def test_rows_drawn_by_weight_are_grouped_too() -> None:
    weights = np.where(np.arange(4000) < 400, 5.0, 0.5)
    alike = Order(4000, batch_size=BATCH, seed=0, weights=weights, lengths=LENGTHS[:, :1])
    plain = Order(4000, batch_size=BATCH, seed=0, weights=weights)
    assert sorted(np.concatenate(alike.batches(1)).tolist()) == sorted(np.concatenate(plain.batches(1)).tolist())
    assert waste(alike, 1, LENGTHS[:, 0]) < 0.1
