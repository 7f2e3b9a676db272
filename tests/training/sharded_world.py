"""What one process and two train alike: the methods of balancing, the kinds of inputs and fusions, and whole runs."""

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from test_training_together import GIVEN, batch, network
from torch import Tensor

from motet import balance, sharing, tasks
from motet.balance.base import BalancerSpec
from motet.core.component import ComponentSpec
from motet.core.flow import Batch, Cells
from motet.core.together import Together
from motet.inputs.base import Preparation
from motet.model import Network, assemble
from motet.run.experiment import run_experiment, train_beside
from motet.spec import load
from motet.spec.registry import ROOMS
from motet.testing.examples import input_cells
from motet.training import Interrupted, Quiet, TrainingSpec, build_optimizer, train_step
from motet.training.average import WeightAverage
from motet.training.sharding import divide, is_divided, local, whole

PRIORITIES = {"sold": 1.0, "price": 2.0, "kind": 1.0}
SPECS = {
    "sgd": TrainingSpec(learning_rate=0.05, optimizer="sgd", average=0.0),
    "adam": TrainingSpec(learning_rate=0.05, optimizer="adam", average=0.9),
    "adamw": TrainingSpec(learning_rate=0.05, optimizer="adamw", weight_decay=0.3, average=0.9),
}
SMALL = {"first": 4, "blocks": 2, "layers": 2, "width": 8, "vocabulary": 300, "dropout": 0.2, "drop": 0.2}
MIXED: dict[str, Any] = {"number": {}, "text": {}}

Found = tuple[dict[str, Tensor], dict[str, float]]


def methods() -> dict[str, BalancerSpec]:
    """Every way of balancing tasks where it looks by default."""
    specs = [cls(**GIVEN.get(kind, {})) for kind, cls in ROOMS["balance.tasks"].items()]
    return {one.kind: one.resolved(apart=False) for one in specs if isinstance(one, BalancerSpec)}


def zoo() -> dict[str, tuple[dict[str, Any], str]]:
    """Inputs and a fusion: every kind of each, and an encoder that two inputs have in common."""
    found = {f"fusion {kind}": (MIXED, kind) for kind in ROOMS["fusion"] if _divisible(kind)}
    found |= {f"input {kind}": ({kind: {}, "other": {"kind": "number"}}, "concat") for kind in ROOMS["inputs"]}
    attention = {"kind": "text", "encoder": {"kind": "transformer", "heads": 2}}
    return found | {
        "attention": ({"text": attention, "number": {}}, "concat"),
        "shared": ({"text": {}, "borrower": {"kind": "text", "share": "text"}}, "concat"),
    }


def _divisible(kind: str) -> bool:
    """Whether a fusion has no losses of its own: those are refused together with `shard`."""
    fusion = _small(ROOMS["fusion"][kind], {}).resolved(2).build({"number": 8, "text": 8})  # type: ignore[attr-defined]
    return not fusion.learns_alone


def method_trained(kind: str, together: Together, *, optimizer: str = "sgd") -> Found:
    """Three steps of two batches: in the second nobody has a size, in the third the second process has no age."""

    def batches(step: int) -> list[Batch]:
        pair = [batch(2 * step + more, slice(together.rank, None, together.count)) for more in range(2)]
        return [_without(one, size=step == 1, age=step == 2) for one in pair]

    net = network(methods()[kind])
    return _trained(net, batches, together, spec=SPECS[optimizer], steps=3)


def kind_trained(line: str, together: Together) -> Found:
    """Two steps; in the second the second process has nothing of the first input."""
    given, fusion = zoo()[line]
    specs = {name: _small(ROOMS["inputs"][one.get("kind", name)], one) for name, one in given.items()}
    fitted = {name: (one, one.fit(input_cells(one.kind))) for name, one in specs.items()}
    asked = {"sold": (tasks.Binary(), ["no", "yes"]), "price": (tasks.Regression(), [0.0, 1.0])}
    net = assemble(
        inputs=fitted,
        tasks={name: (one, one.fit(labels)) for name, (one, labels) in asked.items()},
        fusion=_small(ROOMS["fusion"][fusion], {}),
        sharing=sharing.Hard(width=6),
        task_balance=balance.MGDA(),
        modality_balance=balance.NoThrottle(),
    )
    preparations = {name: preparation for name, (_, preparation) in fitted.items()}

    def batches(step: int) -> list[Batch]:
        return [_rows(preparations, specs, step, slice(together.rank, None, together.count))]

    return _trained(net.double().train(), batches, together, spec=SPECS["sgd"], steps=2)


def _trained(
    net: Network, batches: Callable[[int], list[Batch]], together: Together, *, spec: TrainingSpec, steps: int
) -> Found:
    """The weights and their average after these steps, and how many numbers this process held of what is divided."""
    total = {f"all {room}": sum(one.numel() for one in found) for room, found in _bulk(net).items()}
    net.junction.together = together
    if together.several:
        divide(net, together, device=torch.device("cpu"))
    optimizer, average = build_optimizer(net, spec), WeightAverage(net, decay=spec.average)
    for step in range(steps):
        priorities = {task: PRIORITIES[task] for task in net.heads}
        train_step(net, optimizer, batches(step), priorities=priorities, seed=0, step=step, clip=0.3)
        average.update(step=step)
        if step == 1:
            net.junction.epoch_end({task: 0.5 + 0.1 * len(task) for task in net.heads}, {"sold": 0.3, "price": 0.1})
    held = {f"own {room}": sum(local(one).numel() for one in found) for room, found in _bulk(net).items()}
    states = [value for state in optimizer.state.values() for value in state.values() if is_divided(value)]
    held["own state"] = sum(local(one).numel() for one in states)
    found = whole(net.state_dict()) | {f"average.{name}": one for name, one in whole(average.tensors()).items()}
    return found, {name: float(number) for name, number in (total | held).items()}


def _bulk(net: Network) -> dict[str, list[torch.nn.Parameter]]:
    encoders = [one for _, each in net.encoders.items() for one in each.encoder.parameters()]
    return {"encoders": encoders, "fusion": list(net.fusion.parameters())}


def _without(one: Batch, *, size: bool, age: bool) -> Batch:
    gone = {"size": torch.full_like(one.rows, size, dtype=torch.bool), "age": (one.rows % 2 == 1) & age}
    shown = {name: Cells(cells.values, cells.present & ~gone[name]) for name, cells in one.inputs.items()}
    return Batch(shown, one.targets, one.rows, one.filler)


def _rows(preparations: Mapping[str, Preparation], specs: Mapping[str, Any], step: int, part: slice) -> Batch:
    """Of six rows those of one process."""
    generator, number = torch.Generator().manual_seed(step), 6
    rows = torch.arange(number)
    columns = {}
    for name, preparation in preparations.items():
        cells = input_cells(specs[name].kind)
        items = [preparation.read(cells[(5 * step + 2 * row + len(name)) % len(cells)]) for row in rows.tolist()]
        present = torch.rand(number, generator=generator) < 0.8
        if step == 1 and name == min(preparations):
            present &= rows % 2 == 0
        columns[name] = _cut(preparation.batch(items), present, part)
    targets = {
        "sold": {"target": torch.rand(number, generator=generator).round().double()},
        "price": {"target": torch.randn(number, generator=generator).double()},
    }
    labelled = {name: torch.rand(number, generator=generator) < 0.7 for name in targets}
    return Batch(
        columns, {name: _cut(value, labelled[name], part) for name, value in targets.items()}, rows[part] + 100 * step
    )


def _cut(values: Mapping[str, Tensor], present: Tensor, part: slice) -> Cells:
    wide = {name: one.double() if one.is_floating_point() else one for name, one in values.items()}
    return Cells({name: one[part] for name, one in wide.items()}, present[part])


def _small(cls: type[ComponentSpec], given: Mapping[str, Any]) -> Any:
    """A Spec as small as its fields allow."""
    return cls.model_validate({name: value for name, value in SMALL.items() if name in cls.model_fields} | dict(given))


# --- whole runs


class StopsAt(Quiet):
    """Presses Ctrl-C after this step."""

    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, *, epoch: int, epochs: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Once."""
        if step == self.at:
            signal.raise_signal(signal.SIGINT)


def document(**training: object) -> dict[str, Any]:
    """A text, a category and numbers that share an encoder; cells and labels are missing."""
    chance = np.random.default_rng(0)
    rows = [_row(*chance.normal(size=2), chance) for _ in range(75)]
    return {
        "data": {"train": rows, "valid": 10 / 75},
        "inputs": {
            "a": "number",
            "b": {"kind": "number", "share": "a"},
            "words": {"kind": "text", "width": 8},
            "shop": "category",
        },
        "tasks": {"product": "regression", "sign": "binary"},
        "fusion": {"kind": "transformer", "width": 8, "heads": 2, "layers": 1},
        "sharing": {"kind": "hard", "width": 8},
        "balance": {"tasks": "mgda"},
        "training": {"epochs": 2, "batch_size": 22, "optimizer": "sgd", "device": "cpu", "average": 0.9, **training},
    }


def run(out: Path, together: Together, *, stop: int = 0, resume: bool = False, **training: object) -> None:
    """One process of a run, up to this step where `stop` says so."""
    experiment, base = load(document(**training)), Path.cwd()
    try:
        if together.rank:
            train_beside(experiment, out=out, base=base, resume=resume, together=together)
        else:
            run_experiment(experiment, out=out, base=base, resume=resume, progress=StopsAt(stop), together=together)
    except Interrupted:
        assert stop
    else:
        assert not stop


def _row(a: float, b: float, chance: np.random.Generator) -> dict[str, Any]:
    return {
        "a": a if chance.random() < 0.8 else None,
        "b": b,
        "words": " ".join(chance.choice(["red", "blue", "green"], 3)) if chance.random() < 0.5 else None,
        "shop": str(chance.choice(["north", "south"])),
        "product": a * b if chance.random() < 0.8 else None,
        "sign": "up" if a + b > 0 else "down",
    }
