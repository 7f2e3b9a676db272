"""The network as a graph: the same answers for other numbers of rows, other absences and lengths, NaN where absent."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from worlds import CLOSE, ONE_ROOM, ROW_TASKS, World, chosen, full_world, nan_cells, taken, variants

from motet.core.flow import Cells
from motet.model import Network
from motet.model.export import export, exportable, flat
from motet.spec import ROOMS

PLAIN = {room: variants(room, next(iter(ROOMS[room])))[0] for room in ONE_ROOM}
WORDS = {"late": "rule", "concat": "level"}
"""Where every value of a field is exported, not the first alone: each runs through code of its own."""


def smallest(kind: str, word: Mapping[str, str]) -> Any:
    """One layer where the kind lets it be."""
    fields = {**variants("fusion", kind)[0].model_dump(), **word}
    try:
        return ROOMS["fusion"][kind].model_validate(fields | ({"layers": 1} if "layers" in fields else {}))
    except ValidationError:
        return ROOMS["fusion"][kind].model_validate(fields)


FUSIONS = {
    " ".join([kind, *word.values()]): smallest(kind, word)
    for kind, cls in ROOMS["fusion"].items()
    for word in [{}, *(word for word in chosen(cls) if WORDS.get(kind) in word)]
}


def some(**changes: Any) -> World:
    """A number, a text and a picture in six rows, each with its own absences; the fourth row has nothing."""
    fields: dict[str, Any] = {
        "inputs": {"age": ("number", 0), "note": ("text", 0), "photo": ("image", 1)},
        "cells": {"age": [3, 1, 9, 5, 7, 0], "note": [11, 1, 4, 2, 0, 9], "photo": [1, 0, 1, 1, 1, 0]},
        "present": {
            "age": [True, False, True, False, True, False],
            "note": [True, True, False, False, False, True],
            "photo": [True, True, False, False, True, False],
        },
        "num_rows": 6,
        "rooms": PLAIN,
    }
    return replace(full_world(), **(fields | changes))


def assert_same(graph: Any, network: Network, batch: Mapping[str, Cells]) -> None:
    """The graph says what the network says, run the ordinary way."""
    with torch.no_grad():
        wanted = {task: decision.output for task, decision in network(batch).items()}
        found = graph(*flat(batch).values())
    assert found.keys() == wanted.keys()
    for task, output in wanted.items():
        assert output.isfinite().all(), task
        assert found[task].shape == output.shape, task
        assert ((found[task] - output).abs() <= CLOSE * output.abs().clamp(min=1)).all(), task


@pytest.mark.parametrize("kind", FUSIONS)
def test_every_fusion(kind: str) -> None:
    jobs = ROW_TASKS if kind.startswith("late") else ["binary"]
    world = taken(some(rooms=PLAIN | {"fusion": FUSIONS[kind]}, tasks=jobs))
    network = world.network()
    graph = export(network, world.batch([0, 4, 1])).module()
    for rows in ([0, 1, 2, 3, 4, 5], [3], [1], [5, 2]):
        assert_same(graph, network, nan_cells(world.batch(rows)))


def test_every_kind_of_input() -> None:
    kinds = [(kind, 0) for kind in sorted(ROOMS["inputs"])] + [("text", 1)]
    inputs = {f"{kind} {variant}": (kind, variant) for kind, variant in kinds}
    rows = range(6)
    world = some(
        inputs=inputs,
        cells={name: [(5 * row + place) % 12 for row in rows] for place, name in enumerate(inputs)},
        present={name: [(row + place) % 3 > 0 for row in rows] for place, name in enumerate(inputs)},
    )
    network = world.network()
    graph = export(network, world.batch([0, 1])).module()
    for chosen_rows in (rows, [2], [5, 4, 0]):
        assert_same(graph, network, nan_cells(world.batch(list(chosen_rows))))
    absent = {name: Cells(cells.values, cells.present & False) for name, cells in world.batch([0, 1]).items()}
    assert_same(graph, network, nan_cells(absent))


@pytest.mark.parametrize(
    ("room", "kind"), [(room, kind) for room in ("sharing", "balance.modalities") for kind in ROOMS[room]]
)
def test_every_kind_of_the_other_rooms(room: str, kind: str) -> None:
    there = [True, True, False, False]
    world = some(
        inputs={"age": ("number", 0), "size": ("number", 1)},
        cells={"age": [0, 1, 2, 3], "size": [5, 4, 3, 2]},
        present={"age": there, "size": [not one for one in there[1:]] + [False]},
        num_rows=4,
        rooms=PLAIN | {room: variants(room, kind)[0]},
    )
    network = world.network()
    graph = export(network, world.batch([0, 1])).module()
    assert_same(graph, network, nan_cells(world.batch(world.rows)))


@pytest.mark.parametrize(
    ("kind", "variant", "longest"),
    [("text", 0, 40), ("text", 1, 40), ("audio", 0, 90)],
    ids=["gru", "transformer", "audio"],
)
def test_sequences_may_be_of_any_length(kind: str, variant: int, longest: int) -> None:
    world = some(
        inputs={"it": (kind, variant)}, cells={"it": [0, 1]}, present={"it": [True, True]}, num_rows=2, tasks=["binary"]
    )
    network, example = world.network(), world.batch([0, 1])
    graph = export(network, example).module()
    for length in (*range(1, 12), longest):
        assert_same(graph, network, of_length(example, length))


def of_length(batch: Mapping[str, Cells], length: int) -> dict[str, Cells]:
    """Cut off, or repeated, to so many places; the last row has one less."""
    (cells,) = batch.values()
    mask = torch.arange(length) < torch.tensor([[length], [max(1, length - 1)]])
    values = {
        name: mask if name == "mask" else value.repeat_interleave(1 + length, dim=1)[:, :length]
        for name, value in cells.values.items()
    }
    return {"it": Cells(values, cells.present)}


@pytest.mark.parametrize(("rows", "places"), [(1, 1), (2, 3)])
def test_any_batch_will_do_as_an_example(rows: int, places: int) -> None:
    """One row, one place, nothing present, views of other tensors."""
    world = some(inputs={"note": ("text", 0)}, cells={"note": [4, 1]}, present={"note": [False, True]}, num_rows=2)
    network, whole = world.network(), world.batch([0, 1])
    (note,) = nan_cells(whole).values()
    part = {name: value[:rows, :places] for name, value in note.values.items()}
    graph = export(network, {"note": Cells(part, note.present[:rows])}).module()
    assert_same(graph, network, whole)
    for value in note.values.values():
        value.fill_(1)
    assert_same(graph, network, whole)


def test_the_graph_has_weights_of_its_own_and_leaves_the_network_as_it_was() -> None:
    world = some(inputs={"age": ("number", 0)}, cells={"age": [1, 2]}, present={"age": [True, True]}, num_rows=2)
    network, batch = world.network(), world.batch([0, 1])
    graph = export(network.train(), batch).module()
    assert all(module.training for module in network.modules())
    before = {task: output.clone() for task, output in graph(*flat(batch).values()).items()}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 1
    after = graph(*flat(batch).values())
    assert all(torch.equal(after[task], output) for task, output in before.items())


def test_arguments_come_in_the_order_of_their_names() -> None:
    world = some()
    batch = world.batch([0, 1])
    names = list(flat(batch))
    assert names == list(flat(dict(reversed(batch.items()))))
    assert names == [
        ("age", "features"), ("age", "present"), ("note", "ids"), ("note", "mask"), ("note", "present"),
        ("photo", "pixels"), ("photo", "present"),
    ]  # fmt: skip
    module, arguments, (shapes,) = exportable(world.network(), batch)
    assert module.names == tuple(names)
    assert len(arguments) == len(shapes) == len(names)
    free = [name for name, shape in zip(names, shapes, strict=True) if 1 in shape]
    assert free == [("note", "ids"), ("note", "mask")]
    with torch.no_grad():
        wanted = {task: decision.output for task, decision in world.network()(batch).items()}
        torch.testing.assert_close(module(*arguments), wanted)


@pytest.mark.filterwarnings("ignore")  # what torch says of any GRU
def test_a_gru_exported_before_does_not_fix_the_length_and_is_not_changed_after() -> None:
    gru, x = torch.nn.GRU(4, 4, batch_first=True), torch.randn(2, 5, 4)
    kernels = dict(torch.ops.aten.gru.input.py_kernels)
    ordinary(gru, x)
    world = some(inputs={"note": ("text", 0)}, cells={"note": [4, 1]}, present={"note": [True, True]}, num_rows=2)
    program = export(world.network(), world.batch([0, 1]))
    assert len(program.range_constraints) == 2, "rows and places"
    assert torch.ops.aten.gru.input.py_kernels == kernels
    ordinary(gru, x)


@torch.no_grad()
def ordinary(gru: torch.nn.GRU, x: Tensor) -> None:
    """A program that unrolls the GRU: it holds for this length."""
    whole = torch.export.export(gru, (x,)).run_decompositions()
    torch.testing.assert_close(whole.module()(x)[0], gru(x)[0])
