"""Numbers by pair of names: what is read and written, by name, and what is kept when the names change."""

from itertools import permutations

import numpy as np
import pytest
import torch

from motet.balance.pairs import Pairs

NAMES = ("a-b", "a.b", "train", 'q"')


def filled(names: tuple[str, ...] = NAMES) -> Pairs:
    """Every pair has a number of its own, that depends on its names alone."""
    pairs = Pairs(names)
    pairs.write(names, np.array([[value(one, other) for other in names] for one in names]))
    return pairs


def value(one: str, other: str) -> float:
    return float(10 * NAMES.index(one) + NAMES.index(other) + 1)


def test_each_number_is_found_by_the_names_of_both() -> None:
    pairs = filled()
    for one, other in permutations(NAMES, 2):
        assert pairs.of(one, other) == value(one, other)
        assert pairs.read([other, one])[1, 0] == value(one, other)


def test_what_is_read_is_a_copy_and_what_is_not_written_stays() -> None:
    pairs = filled()
    pairs.read(NAMES)[:] = 0.0
    pairs.write(["train", "a.b"], np.zeros((2, 2)))
    kept = {(one, other): pairs.of(one, other) for one in NAMES for other in NAMES}
    gone = {(one, other) for one in ("train", "a.b") for other in ("train", "a.b")}
    assert kept == {pair: 0.0 if pair in gone else value(*pair) for pair in kept}


def test_the_order_of_names_changes_nothing() -> None:
    one, other = filled().state_dict(), filled(NAMES[::-1]).state_dict()
    assert list(one) == list(other) == ["a%2Eb", "a-b", 'q"', "train_"]
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_one_row_for_each_name_and_one_tensor_for_all() -> None:
    pairs = Pairs([f"t{index}" for index in range(139)])
    assert [(row.shape, row.dtype) for row in pairs.state_dict().values()] == [((139,), torch.float64)] * 139
    assert len(list(pairs.buffers())) == 1


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("names", [("a-b", "train"), ("train", "new", "a.b"), (*NAMES, "first"), ("new",)])
def test_those_that_stay_keep_their_numbers(names: tuple[str, ...], inside: bool) -> None:
    """Fewer names, others, more, and none of the old ones; alone, and inside another module."""
    pairs, old = Pairs(names), filled()
    if inside:
        torch.nn.ModuleDict({"x": pairs}).load_state_dict(torch.nn.ModuleDict({"x": old}).state_dict(), strict=False)
    else:
        pairs.load_state_dict(old.state_dict(), strict=False)
    for one, other in ((one, other) for one in names for other in names):
        assert pairs.of(one, other) == (value(one, other) if {one, other} <= {*NAMES} else 0.0)


def test_a_state_of_other_names_is_an_error_where_it_is_not_expected() -> None:
    with pytest.raises(RuntimeError, match=r"Missing key.*new"):
        Pairs([*NAMES, "new"]).load_state_dict(filled().state_dict())
    with pytest.raises(RuntimeError, match=r"Unexpected key.*train_"):
        Pairs(NAMES[:2]).load_state_dict(filled().state_dict())
    with pytest.raises(RuntimeError, match=r"a-b has shape \(1,\), expected \(4,\)"):
        Pairs(NAMES).load_state_dict(filled().state_dict() | {"a-b": torch.zeros(1)})
