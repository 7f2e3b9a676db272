"""The row is alone: only its own present cells decide a row, in random experiments over the whole registry."""

from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from worlds import (
    CLOSE,
    ONE_ROOM,
    ROW_TASKS,
    VARIANTS,
    World,
    assert_close,
    assert_equal,
    full_world,
    gradients,
    is_built,
    nan_cells,
    only,
    random_cells,
    taken,
    variants,
)

from motet.core.errors import SpecError
from motet.core.flow import Cells, Fused, Tokens
from motet.fusion.base import Fusion
from motet.model import Network
from motet.model.presence import PresentOnly
from motet.nn import keys_of
from motet.spec import ROOMS


@st.composite
def worlds(draw: st.DrawFn) -> World:
    pairs = [(kind, variant) for kind in sorted(ROOMS["inputs"]) for variant in range(len(VARIANTS.get(kind, [{}])))]
    kinds = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=3))
    kinds += kinds[:1] if draw(st.booleans()) else []
    inputs = {f"{'zyxw'[place]}_{kind}": (kind, variant) for place, (kind, variant) in enumerate(kinds)}
    shares: dict[str, str] = {}
    for name, kind in inputs.items():
        owners = [other for other in inputs if other > name and inputs[other] == kind and other not in shares]
        if owners and draw(st.booleans()):
            shares[name] = owners[0]
    num_rows = draw(st.integers(2, 5))
    some = st.lists(st.integers(0, 11), min_size=num_rows, max_size=num_rows)
    there = st.lists(st.booleans(), min_size=num_rows, max_size=num_rows)
    rooms = {
        room: draw(st.sampled_from([spec for kind in sorted(ROOMS[room]) for spec in variants(room, kind)]))
        for room in ONE_ROOM
    }
    return World(
        inputs=inputs,
        tasks=draw(st.lists(st.sampled_from(ROW_TASKS), min_size=1, unique=True)),
        rooms=rooms,
        cells={name: draw(some) for name in inputs},
        present={name: draw(there) for name in inputs},
        num_rows=num_rows,
        shares=shares,
    )


# --- the properties, each a function that refuses


def check_batch_mates(network: Network, world: World) -> None:
    """A row decides as it does alone: batch mates and the padding they bring change nothing."""
    together = network(world.batch(world.rows))
    for row in world.rows:
        assert_close(only(together, [row]), network(world.batch([row])))


def check_training_mates(network: Network, world: World) -> None:
    """In training too, with dropout and modality dropout on: chance is the row's own."""
    network.train()
    keys = keys_of(torch.arange(world.num_rows), 0)
    together = network(world.batch(world.rows), keys)
    for row in world.rows:
        assert_close(only(together, [row]), network(world.batch([row]), keys[row : row + 1]))


def check_row_order(network: Network, world: World) -> None:
    """Rows in another order give their decisions in that order."""
    turned = world.rows[::-1]
    assert_close(only(network(world.batch(world.rows)), turned), network(world.batch(turned)))


def check_input_order(network: Network, world: World) -> None:
    """Inputs handed over in another order give the same bits."""
    batch = world.batch(world.rows)
    assert_equal(network(batch), network(dict(reversed(batch.items()))))


def check_absent_cells(network: Network, world: World) -> None:
    """What stands in absent cells changes no bit of any decision."""
    clean = network(world.batch(world.rows))
    for poison in (nan_cells, random_cells):
        assert_equal(clean, network(poison(world.batch(world.rows))))


def check_gradients(network: Network, world: World) -> None:
    """Nor of any gradient, and all are finite."""
    clean = gradients(network, world.batch(world.rows))
    for poison in (nan_cells, random_cells):
        found = gradients(network, poison(world.batch(world.rows)))
        assert found.keys() == clean.keys()
        for name, gradient in found.items():
            assert gradient.isfinite().all(), name
            assert torch.equal(gradient, clean[name]), name


def check_dense_path(network: Network, world: World) -> None:
    """In a graph that can not depend on who is absent every row is encoded: the same decisions and gradients."""
    sparse, slopes = network(world.batch(world.rows)), gradients(network, world.batch(world.rows))
    with patch("torch.compiler.is_compiling", lambda: True):
        assert_close(network(nan_cells(world.batch(world.rows))), sparse)
        found = gradients(network, nan_cells(world.batch(world.rows)))
    for name, gradient in slopes.items():
        assert ((found[name] - gradient).abs() <= CLOSE * gradient.abs().amax().clamp(min=1)).all(), name


CHECKS = (
    check_dense_path,
    check_batch_mates,
    check_training_mates,
    check_row_order,
    check_input_order,
    check_absent_cells,
    check_gradients,
)


@pytest.mark.parametrize("check", CHECKS)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds())
def test_the_row_is_alone(check: Callable[[Network, World], None], world: World) -> None:
    check(possible(world), world)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(world=worlds())
def test_the_order_in_an_experiment_changes_no_bit(world: World) -> None:
    one, other = possible(world), world.network(turned=True)
    assert {name: value.tolist() for name, value in one.state_dict().items()} == {
        name: value.tolist() for name, value in other.state_dict().items()
    }
    assert_equal(one(world.batch(world.rows)), other(world.batch(world.rows)))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(world=worlds())
def test_tokens_without_an_input_are_those_of_rows_that_lack_it(world: World) -> None:
    """`Network.without`, by which the contributions are computed, is the same as an absent cell."""
    network = possible(world)
    name = sorted(world.inputs)[0]
    batch = world.batch(world.rows)
    gone = {**batch, name: Cells(batch[name].values, torch.zeros(world.num_rows, dtype=torch.bool))}
    assert_close(network.decide(network.without(network.encode(batch), [name])), network(gone))


def possible(world: World) -> Network:
    """The network of what was drawn; another draw where the fusion does not take so many inputs, or such tasks."""
    try:
        return world.network()
    except SpecError as error:
        assert any(word in str(error) for word in (world.rooms["fusion"].kind, *world.tasks, "balance.tasks")), error
        assume(False)
        raise


# --- every kind is among what is tried, whatever chance draws


@pytest.mark.parametrize(
    ("room", "kind"),
    [(room, kind) for room in ROOMS for kind in ROOMS[room] if room != "tasks" or kind in ROW_TASKS],
)
def test_every_kind_of_every_room(room: str, kind: str) -> None:
    for variant in range(len(variants(room, kind))):
        world = full_world()
        if room == "inputs":
            world = full_world(inputs={"a": (kind, variant), "b": ("category", 0)})
        elif room == "tasks":
            world = full_world(tasks=[kind])
        else:
            world = full_world(rooms={**world.rooms, room: variants(room, kind)[variant]})
            if kind == "torchjd" and not is_built(world):
                continue  # an aggregator whose solver is not installed
            world = taken(world)
        for check in CHECKS:
            check(world.network(), world)


# --- each check can fail: a network with the mistake it is there to find


class Broken(Fusion):
    """A fusion around another one that makes a mistake with its pooled vectors."""

    def __init__(self, inner: Fusion, mistake: Callable[[Mapping[str, Tokens], Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.mistake = inner, mistake
        self.output_width, self.streams, self.exact = inner.output_width, inner.streams, inner.exact

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        return {
            name: Fused(self.mistake(tokens, fused.pooled), fused.present, fused.weight)
            for name, fused in self.inner(tokens).items()
        }


def batch_norm(tokens: Mapping[str, Tokens], pooled: Tensor) -> Tensor:
    return pooled - 0.1 * pooled.mean(dim=0)


def padded_mean(tokens: Mapping[str, Tokens], pooled: Tensor) -> Tensor:
    return pooled + tokens["b"].values.mean(dim=(1, 2))[:, None]


def global_chance(tokens: Mapping[str, Tokens], pooled: Tensor) -> Tensor:
    return torch.nn.functional.dropout(pooled, 0.5, training=True)


def numbered_rows(tokens: Mapping[str, Tokens], pooled: Tensor) -> Tensor:
    return pooled + 0.01 * torch.arange(len(pooled))[:, None]


class EncodesAll(PresentOnly):
    """Encodes absent cells too and multiplies what comes of them by zero: 0 x NaN is NaN."""

    def forward(self, cells: Cells, keys: Any = None) -> Tokens:
        encoded = self.encoder(cells.values)
        keep = cells.present[:, None, None]
        return Tokens(encoded.values * keep + self.absent * ~keep, encoded.mask, cells.present)


class HidesLate(PresentOnly):
    """Encodes absent cells too and hides what comes of them: the decision is clean, its gradient is not."""

    def forward(self, cells: Cells, keys: Any = None) -> Tokens:
        encoded = self.encoder(cells.values)
        values = torch.where(cells.present[:, None, None], encoded.values.square().sqrt(), self.absent)
        return Tokens(values, encoded.mask, cells.present)


class BlanksNothing(PresentOnly):
    """In a compiled graph it hides what comes of absent cells, but reads them."""

    def dense(self, cells: Cells, keys: Any = None) -> Tokens:
        encoded = self.encoder(cells.values)
        return self.hide(Tokens(encoded.values, encoded.mask, cells.present), ~cells.present)


class InGivenOrder(Network):
    """Takes the inputs as they come and gives the first a special part."""

    def encode(self, inputs: Mapping[str, Cells], keys: Any = None, *, progress: float = 1.0) -> dict[str, Tokens]:
        tokens = super().encode(inputs, keys, progress=progress)
        first = next(iter(inputs))
        return {**tokens, first: Tokens(2 * tokens[first].values, tokens[first].mask, tokens[first].present)}


def broken_fusion(mistake: Callable[[Mapping[str, Tokens], Tensor], Tensor]) -> Network:
    network = full_world().network()
    network.fusion = Broken(network.fusion, mistake)
    return network


def broken_encoder(kind: type[PresentOnly]) -> Network:
    network = full_world().network()
    network.encoders["a"].__class__ = kind
    return network


def broken_order() -> Network:
    network = full_world().network()
    network.__class__ = InGivenOrder
    return network


@pytest.mark.parametrize(
    ("check", "network"),
    [
        (check_batch_mates, lambda: broken_fusion(batch_norm)),
        (check_batch_mates, lambda: broken_fusion(padded_mean)),
        (check_training_mates, lambda: broken_fusion(global_chance)),
        (check_row_order, lambda: broken_fusion(numbered_rows)),
        (check_input_order, broken_order),
        (check_absent_cells, lambda: broken_encoder(EncodesAll)),
        (check_gradients, lambda: broken_encoder(HidesLate)),
        (check_dense_path, lambda: broken_encoder(BlanksNothing)),
    ],
    ids=[
        "batch mean",
        "mean over padding",
        "a global stream of chance",
        "numbered rows",
        "order",
        "0 x NaN",
        "NaN hidden late",
        "NaN in a dense graph",
    ],
)
def test_each_check_finds_its_mistake(check: Callable[[Network, World], None], network: Callable[[], Network]) -> None:
    with pytest.raises(AssertionError):
        check(network(), full_world())


def test_a_decision_that_is_clean_may_have_a_gradient_that_is_not() -> None:
    check_absent_cells(broken_encoder(HidesLate), full_world())
