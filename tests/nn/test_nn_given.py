"""Given state: named wherever a module stands, left out of what is learned, and taken back only whole."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from motet.nn import Given, fingerprint, given_state, learned_state, load_learned


class Half(Given):
    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.head = nn.Linear(2, 2), nn.Linear(2, 1)

    def given(self) -> Iterator[str]:
        yield from (f"frozen.{name}" for name in self.frozen.state_dict())


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = Half()
        self.b = self.a
        self.out = nn.Linear(1, 1)


def test_what_is_given_is_left_out_under_every_name() -> None:
    network = Twice()
    given, learned = given_state(network), learned_state(network)
    assert sorted(given) == [f"{one}.frozen.{name}" for one in "ab" for name in ("bias", "weight")]
    assert given.keys() | learned.keys() == network.state_dict().keys()
    assert not given.keys() & learned.keys()


def test_what_was_learned_is_taken_back_and_what_is_given_stays() -> None:
    first, second = Twice(), Twice()
    kept = {name: value.clone() for name, value in given_state(second).items()}
    load_learned(second, learned_state(first))
    assert fingerprint(learned_state(second)) == fingerprint(learned_state(first))
    assert fingerprint(given_state(second)) == fingerprint(kept) != fingerprint(given_state(first))


def test_state_of_another_network_is_refused() -> None:
    network = Twice()
    state = learned_state(network)
    with pytest.raises(RuntimeError, match=r"out\.bias"):
        load_learned(network, {name: one for name, one in state.items() if name != "out.bias"})
    with pytest.raises(RuntimeError, match="other"):
        load_learned(network, state | {"other": torch.zeros(1)})


def test_a_fingerprint_tells_names_forms_and_single_bits_apart() -> None:
    one = {"w": torch.arange(4.0), "v": torch.zeros(2, 3)}
    flipped = torch.arange(4.0)
    flipped.view(torch.int32)[2] ^= 1
    others = [
        one | {"w": flipped},
        one | {"v": torch.zeros(3, 2)},
        one | {"v": torch.zeros(2, 3, dtype=torch.int32)},
        {"w": one["w"], "u": one["v"]},
        {"w": one["w"]},
        one | {"w": torch.arange(4.0).to(torch.bfloat16)},
    ]
    assert len({fingerprint(each) for each in (one, *others)}) == 1 + len(others)
    assert fingerprint(dict(reversed(one.items()))) == fingerprint(one)
    assert fingerprint({"s": torch.tensor(1.0)}) != fingerprint({"s": torch.tensor(2.0)})
