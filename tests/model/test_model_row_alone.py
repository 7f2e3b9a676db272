"""The row is alone: only its own present cells decide a row, in random experiments over the whole registry."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from motet.core.errors import SpecError
from motet.core.flow import Cells, Fused, Tokens
from motet.fusion.base import Fusion
from motet.inputs.base import InputSpec, Preparation
from motet.model import Decision, Network, assemble
from motet.model.presence import PresentOnly
from motet.nn import keys_of
from motet.spec import ROOMS
from motet.tasks.base import Codec, TaskSpec
from motet.tasks.rules import Opinion
from motet.testing.examples import input_cells, task_labels

CLOSE = 1e-5
SMALL = {"first": 4, "channels": 4, "blocks": 2, "layers": 2, "width": 8, "vocabulary": 300, "dropout": 0.2}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "text": [{}, {"encoder": {"kind": "transformer", "heads": 2}}],
    "number": [{}, {"encoding": "linear", "scaling": "quantile"}],
    "image": [{}, {"size": (9, 12), "channels": 1}],
    "weighted": [{}, {"per_row": True}],
    "late": [{}, {"weights": "learned", "auxiliary": 0.5}],
    "hybrid": [{}, {"fusion": {"kind": "weighted", "width": 8}, "weights": "learned"}],
    "mgda": [{}, {"scale": "norm"}],
}
ONE_ROOM = ("fusion", "sharing", "balance.tasks", "balance.modalities")


def variants(room: str, kind: str) -> list[Any]:
    """The Specs of a kind that are tried: as small as its fields allow."""
    cls = ROOMS[room][kind]
    small = {
        name: value
        for name, value in SMALL.items()
        if name in cls.model_fields and (kind, name) != ("image", "channels")
    }
    return [cls.model_validate({**small, **variant}) for variant in VARIANTS.get(kind, [{}])]


@cache
def prepared(kind: str, variant: int) -> tuple[InputSpec, Preparation]:
    spec = variants("inputs", kind)[variant]
    return spec, spec.fit(input_cells(kind))


@cache
def coded(kind: str) -> tuple[TaskSpec, Codec]:
    spec = variants("tasks", kind)[0]
    return spec, spec.fit(task_labels(kind))


@dataclass(frozen=True)
class World:
    """An experiment and a batch of rows for it: which cell each input has in each row, and whether it is there."""

    inputs: Mapping[str, tuple[str, int]]
    tasks: Sequence[str]
    rooms: Mapping[str, Any]
    cells: Mapping[str, Sequence[int]]
    present: Mapping[str, Sequence[bool]]
    num_rows: int

    def network(self, *, turned: bool = False) -> Network:
        """The untrained network, its biases stirred; `turned` names inputs and tasks the other way round."""
        turn: Callable[[Any], list[Any]] = (lambda names: list(reversed(list(names)))) if turned else list
        network = assemble(
            inputs={name: prepared(*self.inputs[name]) for name in turn(self.inputs)},
            tasks={kind: coded(kind) for kind in turn(self.tasks)},
            fusion=self.rooms["fusion"],
            sharing=self.rooms["sharing"],
            task_balance=self.rooms["balance.tasks"],
            modality_balance=self.rooms["balance.modalities"],
        )
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        return network.eval()

    def batch(self, rows: Sequence[int]) -> dict[str, Cells]:
        """These rows, padded as they are when they meet."""
        found = {}
        for name, (kind, variant) in self.inputs.items():
            preparation = prepared(kind, variant)[1]
            cells = input_cells(kind)
            items = [preparation.read(cells[self.cells[name][row] % len(cells)]) for row in rows]
            found[name] = Cells(preparation.batch(items), torch.tensor([self.present[name][row] for row in rows]))
        return found

    @property
    def rows(self) -> list[int]:
        return list(range(self.num_rows))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    kinds = draw(st.lists(st.sampled_from(sorted(ROOMS["inputs"])), min_size=1, max_size=4))
    inputs = {
        f"{'zyxw'[place]}_{kind}": (kind, draw(st.integers(0, len(VARIANTS.get(kind, [{}])) - 1)))
        for place, kind in enumerate(kinds)
    }
    num_rows = draw(st.integers(2, 5))
    some = st.lists(st.integers(0, 11), min_size=num_rows, max_size=num_rows)
    there = st.lists(st.booleans(), min_size=num_rows, max_size=num_rows)
    rooms = {
        room: draw(st.sampled_from([spec for kind in sorted(ROOMS[room]) for spec in variants(room, kind)]))
        for room in ONE_ROOM
    }
    return World(
        inputs=inputs,
        tasks=draw(st.lists(st.sampled_from(sorted(ROOMS["tasks"])), min_size=1, unique=True)),
        rooms=rooms,
        cells={name: draw(some) for name in inputs},
        present={name: draw(there) for name in inputs},
        num_rows=num_rows,
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
    assert clean.keys() == gradients(network, nan_cells(world.batch(world.rows))).keys()
    for poison in (nan_cells, random_cells):
        for name, gradient in gradients(network, poison(world.batch(world.rows))).items():
            assert gradient.isfinite().all(), name
            assert torch.equal(gradient, clean[name]), name


CHECKS = (
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
        assert any(word in str(error) for word in (world.rooms["fusion"].kind, *world.tasks)), error
        assume(False)
        raise


# --- every kind is among what is tried, whatever chance draws


@pytest.mark.parametrize(("room", "kind"), [(room, kind) for room in ROOMS for kind in ROOMS[room]])
def test_every_kind_of_every_room(room: str, kind: str) -> None:
    for variant in range(len(variants(room, kind))):
        world = full_world()
        if room == "inputs":
            world = full_world(inputs={"a": (kind, variant), "b": ("category", 0)})
        elif room == "tasks":
            world = full_world(tasks=[kind])
        else:
            world = taken(full_world(rooms={**world.rooms, room: variants(room, kind)[variant]}))
        for check in CHECKS:
            check(world.network(), world)


def taken(world: World) -> World:
    """What the fusion takes of a world: two of its inputs if not all, and the tasks that can join its streams."""
    for inputs in (world.inputs, dict(list(world.inputs.items())[:2])):
        tasks = [task for task in world.tasks if is_built(replace(world, inputs=inputs, tasks=[task]))]
        if tasks:
            return replace(world, inputs=inputs, tasks=tasks)
    raise AssertionError(f"{world.rooms['fusion'].kind} takes neither three inputs nor two")


def is_built(world: World) -> bool:
    try:
        world.network()
    except SpecError:
        return False
    return True


def full_world(**changes: Any) -> World:
    """A number, a text and a category in five rows: one whole, one with a gap each, one empty."""
    inputs = {"a": ("number", 0), "b": ("text", 0), "c": ("category", 0)}
    inputs = changes.pop("inputs", inputs)
    gaps = {
        "a": [True, False, True, True, False],
        "b": [True, True, False, True, False],
        "c": [True, True, True, False, False],
    }
    rooms = {room: variants(room, next(iter(ROOMS[room])))[0] for room in ONE_ROOM}
    fields: dict[str, Any] = {
        "tasks": sorted(ROOMS["tasks"]),
        "rooms": rooms,
        "cells": {name: [3, 1, 9, 5, 7] for name in inputs},
        "present": {name: gaps[name] for name in inputs},
        "num_rows": 5,
    }
    return World(inputs=inputs, **(fields | changes))


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
    ],
    ids=[
        "batch mean",
        "mean over padding",
        "a global stream of chance",
        "numbered rows",
        "order",
        "0 x NaN",
        "NaN hidden late",
    ],
)
def test_each_check_finds_its_mistake(check: Callable[[Network, World], None], network: Callable[[], Network]) -> None:
    with pytest.raises(AssertionError):
        check(network(), full_world())


def test_a_decision_that_is_clean_may_have_a_gradient_that_is_not() -> None:
    check_absent_cells(broken_encoder(HidesLate), full_world())


# --- helpers


def only(decisions: Mapping[str, Decision], rows: Sequence[int]) -> dict[str, Decision]:
    return {
        task: Decision(
            one.output[rows],
            {
                name: Opinion(own.output[rows], own.features[rows], own.present[rows], own.weight[rows])
                for name, own in one.opinions.items()
            },
            {name: output[rows] for name, output in one.singles.items()},
        )
        for task, one in decisions.items()
    }


def tensors(decisions: Mapping[str, Decision]) -> dict[str, Tensor]:
    found = {}
    for task, one in decisions.items():
        found[task] = one.output
        found |= {f"{task}/{name} alone": output for name, output in one.singles.items()}
        for stream, own in one.opinions.items():
            found |= {f"{task}/{stream}": own.output, f"{task}/{stream} features": own.features}
            found |= {f"{task}/{stream} present": own.present.float(), f"{task}/{stream} weight": own.weight}
    return found


def assert_close(found: Mapping[str, Decision], wanted: Mapping[str, Decision]) -> None:
    ours, theirs = tensors(found), tensors(wanted)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert value.isfinite().all(), name
        assert ours[name].shape == value.shape, name
        assert ((ours[name] - value).abs() <= CLOSE * value.abs().clamp(min=1)).all(), name


def assert_equal(found: Mapping[str, Decision], wanted: Mapping[str, Decision]) -> None:
    ours, theirs = tensors(found), tensors(wanted)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


def gradients(network: Network, batch: Mapping[str, Cells]) -> dict[str, Tensor]:
    network.zero_grad(set_to_none=True)
    losses = {task: decision.output.float().square().mean() for task, decision in network(batch).items()}
    network.junction.total(losses).backward()
    return {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}


def nan_cells(batch: Mapping[str, Cells]) -> dict[str, Cells]:
    return {name: replaced(cells, lambda value: torch.full_like(value, filler(value))) for name, cells in batch.items()}


def filler(value: Tensor) -> float:
    return float("nan") if value.is_floating_point() else 1 if value.dtype == torch.bool else -(2**40)


def random_cells(batch: Mapping[str, Cells]) -> dict[str, Cells]:
    generator = torch.Generator().manual_seed(3)

    def random(value: Tensor) -> Tensor:
        noise = 1e3 * torch.randn(value.shape, generator=generator)
        return noise > 0 if value.dtype == torch.bool else noise.to(value.dtype)

    return {name: replaced(cells, random) for name, cells in batch.items()}


def replaced(cells: Cells, poison: Callable[[Tensor], Tensor]) -> Cells:
    values = {}
    for name, value in cells.values.items():
        keep = cells.present.view(-1, *[1] * (value.dim() - 1))
        values[name] = torch.where(keep, value, poison(value))
    return Cells(values, cells.present)
