"""Which rows are looked into: whole groups, evenly spread, in an order of chance."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from motet.run.sample import sample_of

UNITS = st.lists(st.integers(0, 20), min_size=1, max_size=60).map(np.array)


@given(units=UNITS, count=st.integers(0, 80), fewer=st.integers(0, 80), seed=st.integers(0, 5))
def test_no_group_is_torn(units: np.ndarray, count: int, fewer: int, seed: int) -> None:
    sample = sample_of(units, count, seed=seed)
    first = sample.places[sample.first(fewer)]
    for places in (sample.places, first):
        assert len(set(places.tolist())) == len(places)
        for unit in set(units[places].tolist()):
            assert set(np.flatnonzero(units == unit).tolist()) <= set(places.tolist())
    assert (len(sample.places) > 0) == (count > 0)
    assert len(first) >= min(fewer, len(sample.places))
    groups = [int((units == unit).sum()) for unit in set(units[first].tolist())]
    assert len(first) - max(groups, default=0) < max(fewer, 1)


def test_rows_by_themselves_are_as_many_as_asked_and_evenly_spread() -> None:
    sample = sample_of(np.arange(1000), 100, seed=0)
    places = np.sort(sample.places)
    assert len(places) == 100
    assert set(np.diff(places).tolist()) <= {10, 11}
    assert sample.first(30).tolist() == list(range(30))
    assert sample.places.tolist() != places.tolist()


def test_rows_that_follow_each_other_are_of_different_groups() -> None:
    units = np.repeat(np.arange(50), 4)
    drawn = units[sample_of(units, 200, seed=0).places]
    assert (drawn[1:] == drawn[:-1]).mean() < 0.1
