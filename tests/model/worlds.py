"""Experiments over the whole registry and rows for them, as small as the kinds allow; and how decisions compare."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, get_args, get_origin

import torch
from torch import Tensor

from motet.balance.base import PLACES, GradientSpec
from motet.core.component import ComponentSpec
from motet.core.errors import SpecError
from motet.core.flow import Cells
from motet.inputs.base import InputSpec, Preparation
from motet.model import Decision, Network, assemble
from motet.spec import ROOMS
from motet.tasks.base import Codec
from motet.tasks.row import RowTask
from motet.tasks.rules import Opinion
from motet.testing.examples import input_cells, task_labels

CLOSE = 1e-5
SMALL = {"first": 4, "channels": 4, "blocks": 2, "layers": 2, "width": 8, "vocabulary": 300, "dropout": 0.2}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "text": [{}, {"encoder": {"kind": "transformer", "heads": 2}}],
    "number": [{}, {"encoding": "linear", "scaling": "quantile"}],
    "image": [{}, {"size": (9, 12), "channels": 1}],
    "video": [{}, {"encoder": "cnn3d"}],
    "weighted": [{}, {"per_row": True}],
    "late": [{}, {"weights": "learned", "auxiliary": 0.5}],
    "hybrid": [{}, {"fusion": {"kind": "weighted", "width": 8}, "weights": "learned"}],
}
ROW_TASKS = sorted(kind for kind, spec in ROOMS["tasks"].items() if issubclass(spec, RowTask))
"""Those that read parts of inputs are in test_model_parts.py: each needs inputs of its own."""
ONE_ROOM = ("fusion", "sharing", "balance.tasks", "balance.modalities")


def variants(room: str, kind: str) -> list[Any]:
    """The Specs of a kind that are tried: as small as its fields allow."""
    cls = ROOMS[room][kind]
    small = {
        name: value
        for name, value in SMALL.items()
        if name in cls.model_fields and (kind, name) not in (("image", "channels"), ("video", "channels"))
    }
    tried = VARIANTS.get(kind, [{}]) + ([] if room == "inputs" else chosen(cls))
    return [cls.model_validate({**small, **variant}) for variant in tried]


def chosen(cls: type[ComponentSpec]) -> list[dict[str, Any]]:
    """Each other word that a field of a Spec may hold."""
    words = {name: get_args(one.annotation) for name, one in cls.model_fields.items() if name != "kind"}
    return [
        {name: word}
        for name, found in words.items()
        if get_origin(cls.model_fields[name].annotation) is Literal
        for word in found
        if word != cls.model_fields[name].default and not is_elsewhere(cls, name, word)
    ]


def is_elsewhere(cls: type[ComponentSpec], name: str, word: str) -> bool:
    """Whether the word is a place at which this balancer can not look."""
    return name == "at" and issubclass(cls, GradientSpec) and word not in PLACES[cls.needs]


@cache
def prepared(kind: str, variant: int) -> tuple[InputSpec, Preparation]:
    spec = variants("inputs", kind)[variant]
    return spec, spec.fit(input_cells(kind))


@cache
def coded(kind: str) -> tuple[RowTask, Codec]:
    spec = variants("tasks", kind)[0]
    return spec, spec.fit(task_labels(kind))


@dataclass(frozen=True)
class World:
    """An experiment and a batch of rows for it: which cell each input has in each row, and whether it is there.

    `shares` says which inputs have the encoder of another one, of the same kind and variant.
    """

    inputs: Mapping[str, tuple[str, int]]
    tasks: Sequence[str]
    rooms: Mapping[str, Any]
    cells: Mapping[str, Sequence[int]]
    present: Mapping[str, Sequence[bool]]
    num_rows: int
    shares: Mapping[str, str] = field(default_factory=dict)

    def network(self, *, turned: bool = False) -> Network:
        """The untrained network, its biases stirred; `turned` names inputs and tasks the other way round."""
        turn: Callable[[Any], list[Any]] = (lambda names: list(reversed(list(names)))) if turned else list
        network = assemble(
            inputs={name: self.prepared(name) for name in turn(self.inputs)},
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

    def prepared(self, name: str) -> tuple[InputSpec, Preparation]:
        """One input, fitted."""
        spec, preparation = prepared(*self.inputs[name])
        return spec.model_copy(update={"share": self.shares.get(name)}), preparation

    @property
    def rows(self) -> list[int]:
        return list(range(self.num_rows))


def taken(world: World) -> World:
    """What the fusion takes of a world: two of its inputs if not all, and the tasks that can join its streams."""
    if is_built(world):
        return world
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
        "tasks": ROW_TASKS,
        "rooms": rooms,
        "cells": {name: [3, 1, 9, 5, 7] for name in inputs},
        "present": {name: gaps[name] for name in inputs},
        "num_rows": 5,
    }
    return World(inputs=inputs, **(fields | changes))


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
    """Those of the network's first step: a copy is asked, since a balancer may remember."""
    network = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # without row keys a balancer draws in turn
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
