"""What sharing adds to the losses, where a step has several batches: the same as of one batch with all rows."""

import copy

import pytest
import torch
from junction_world import PRIORITIES, SEED, TASKS, batch
from torch import Tensor

from motet import balance, fusion, inputs, tasks
from motet.core.flow import Batch, Cells
from motet.model import Network, assemble
from motet.spec.registry import ROOMS
from motet.training import StepResult, train_step

SMALL = {"width": 6, "dropout": 0.0, "branch": 4, "strength": 0.5, "experts": 3}


def network(kind: str) -> Network:
    cls = ROOMS["sharing"][kind]
    number = inputs.Number(width=3, encoding="linear", drop=0.0)
    asked = {"sold": tasks.Binary(), "price": tasks.Regression(), "kind": tasks.Multiclass()}
    labels = {"sold": ["no", "yes"], "price": [0.0, 1.0], "kind": ["a", "b", "c"]}
    return (
        assemble(
            inputs={name: (number, number.fit([0.0, 1.0])) for name in ("age", "size")},
            tasks={name: (one, one.fit(labels[name])) for name, one in asked.items()},
            fusion=fusion.Concat(width=4),
            sharing=cls(**{name: value for name, value in SMALL.items() if name in cls.model_fields}),
            task_balance=balance.Fixed(),
            modality_balance=balance.NoThrottle(),
            seed=SEED,
        )
        .double()
        .train()
    )


def cut(whole: Batch, sizes: list[int]) -> list[Batch]:
    rows = torch.arange(len(whole.rows)).split(sizes)

    def some(cells: Cells, own: Tensor) -> Cells:
        return Cells({name: value[own] for name, value in cells.values.items()}, cells.present[own])

    return [
        Batch(
            {name: some(one, own) for name, one in whole.inputs.items()},
            {name: some(one, own) for name, one in whole.targets.items()},
            whole.rows[own],
        )
        for own in rows
    ]


def step(net: Network, batches: list[Batch]) -> StepResult:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    return train_step(net, optimizer, batches, priorities=PRIORITIES, seed=SEED, step=0)


@pytest.mark.parametrize("kind", ROOMS["sharing"])
def test_batches_of_unequal_size_count_by_their_rows(kind: str) -> None:
    net, whole = network(kind), batch(12, first=0)
    penalised = bool(net.sharing["joint"].penalties())
    parted = copy.deepcopy(net)
    one, other = step(net, [whole]), step(parted, cut(whole, [8, 3, 1]))
    assert bool(one.terms) == penalised
    assert other.terms == pytest.approx(one.terms, rel=1e-6)
    assert other.num_rows == one.num_rows == 12
    assert sorted(one.losses) == list(TASKS)
    for (name, wanted), found in zip(net.named_parameters(), parted.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6, msg=name)
