"""Small networks with a balancing method each, and batches for them, in which labels and inputs are missing."""

from collections.abc import Sequence

import torch
from torch import nn

from motet import balance, fusion, inputs, sharing, tasks
from motet.balance.base import BalancerSpec
from motet.core.flow import Batch, Cells
from motet.model import Network, assemble
from motet.spec.registry import ROOMS
from motet.testing.balancer import at_each_place

TASKS, SEED = ("kind", "price", "sold"), 0
PRIORITIES = {"kind": 1.0, "price": 2.0, "sold": 0.5}
AUXILIARY = 0.5


def cases() -> dict[str, BalancerSpec]:
    """Every method of the registry at every place it allows, and one that uses all the junction offers."""
    specs = [cls() for cls in ROOMS["balance.tasks"].values()]
    specs += [balance.MGDA(heads="weighted", every=2, scale="norm")]
    placed = [one for spec in specs for one in at_each_place(spec)]  # type: ignore[arg-type]
    return {f"{index}-{one.kind}-{getattr(one, 'at', '')}": one for index, one in enumerate(placed)}


def network(spec: BalancerSpec, *, seed: int = SEED) -> Network:
    """Two numbers, three tasks, three streams with losses of their own; inputs and what layers make are dropped."""
    number = inputs.Number(width=3, encoding="linear", drop=0.2)
    asked = {"sold": tasks.Binary(), "price": tasks.Regression(), "kind": tasks.Multiclass()}
    labels = {"sold": ["no", "yes"], "price": [0.0, 1.0], "kind": ["a", "b", "c"]}
    return assemble(
        inputs={name: (number, number.fit([0.0, 1.0])) for name in ("age", "size")},
        tasks={name: (one, one.fit(labels[name])) for name, one in asked.items()},
        fusion=fusion.Hybrid(fusion=fusion.Concat(width=4), auxiliary=AUXILIARY),
        sharing=sharing.Hard(width=5, dropout=0.3),
        task_balance=spec,
        modality_balance=balance.NoThrottle(),
        seed=seed,
    ).train()


def micro_batches(step: int, *, sizes: Sequence[int] = (7, 2, 4), dtype: torch.dtype = torch.float64) -> list[Batch]:
    """Of unequal size, labels missing unevenly; no row of the second has a label of `kind`."""
    made, first = [], 0
    for number, size in enumerate(sizes):
        one = batch(size, first=100 * step + first, dtype=dtype)
        if number == 1:
            one.targets["kind"].present[:] = False  # type: ignore[index]
        made.append(one)
        first += size
    return made


def batch(size: int, *, first: int, dtype: torch.dtype = torch.float64) -> Batch:
    """Rows from this number on, each task with a label at least in the first."""
    chance = torch.Generator().manual_seed(first)
    cells = {
        name: Cells(
            {"features": torch.randn(size, 1, generator=chance).to(dtype)}, torch.rand(size, generator=chance) < 0.8
        )
        for name in ("age", "size")
    }
    values = {
        "sold": torch.rand(size, generator=chance).round().to(dtype),
        "price": 3 * torch.randn(size, generator=chance).to(dtype),
        "kind": torch.randint(3, (size,), generator=chance),
    }
    targets = {}
    for name, value in values.items():
        present = torch.rand(size, generator=chance) < {"sold": 0.9, "price": 0.6, "kind": 0.4}[name]
        targets[name] = Cells({"target": value}, present | (torch.arange(size) == 0))
    return Batch(cells, targets, first + torch.arange(size))


def shared(net: Network) -> list[nn.Parameter]:
    """What lies behind the junction."""
    return [one for room in (net.encoders, net.throttle, net.fusion, net.sharing) for one in room.parameters()]
