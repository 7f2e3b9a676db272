"""A small real network with a throttle, its steps, and what the tests of throttles compare."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from motet import balance, fusion, inputs, sharing, tasks
from motet.balance import BalancerSpec, ThrottleSpec, Witness
from motet.core.flow import Batch, Cells, Tokens
from motet.fusion.base import FusionSpec
from motet.model import Network, assemble
from motet.nn.keyed import keys_of
from motet.sharing.base import SharingSpec
from motet.training import StepResult, train_step
from motet.training.losses import witness

PRESENT = {"age": 0.8, "size": 0.6, "rank": 0.7}
TASKS: dict[str, tasks.TaskSpec] = {
    "sold": tasks.Binary(),
    "price": tasks.Regression(),
    "kind": tasks.Multiclass(),
}
LABELS: dict[str, list[object]] = {"sold": ["no", "yes"], "price": [0.0, 1.0], "kind": ["a", "b", "c"]}


def network(
    spec: ThrottleSpec,
    *,
    names: Sequence[str] = ("age", "size", "rank"),
    asked: Sequence[str] = ("sold", "price", "kind"),
    joined: FusionSpec = fusion.Concat(width=4),  # noqa: B008
    shared: SharingSpec = sharing.Hard(width=4, dropout=0.0),  # noqa: B008
    balancer: BalancerSpec = balance.Fixed(),  # noqa: B008
    seed: int = 0,
) -> Network:
    """Numbers, up to three tasks; the same weights whatever the throttle."""
    number = inputs.Number(width=4, encoding="linear", drop=0.0)
    return assemble(
        inputs={name: (number, number.fit([0.0, 1.0])) for name in names},
        tasks={name: (TASKS[name], TASKS[name].fit(LABELS[name])) for name in asked},
        fusion=joined,
        sharing=shared,
        task_balance=balancer,
        modality_balance=spec,
        seed=seed,
    ).train()


def batch(num_rows: int = 12, *, seed: int = 0, absent: Sequence[str] = (), labelled: float = 0.8) -> Batch:
    """Some inputs and labels missing; rows 0 and 1 have all but the inputs in `absent`."""
    chance = torch.Generator().manual_seed(seed)

    def there(share: float) -> Tensor:
        return (torch.rand(num_rows, generator=chance) < share) | (torch.arange(num_rows) < 2)

    features = {}
    for name, share in PRESENT.items():
        values, present = torch.randn(num_rows, 1, generator=chance), there(share)
        features[name] = Cells({"features": values}, present & (torch.tensor(name not in absent)))
    targets = {
        "sold": torch.rand(num_rows, generator=chance).round(),
        "price": torch.randn(num_rows, generator=chance),
        "kind": torch.randint(3, (num_rows,), generator=chance),
    }
    cells = {name: Cells({"target": target}, there(labelled)) for name, target in targets.items()}
    return Batch(features, cells, torch.arange(num_rows) + 100 * seed)


def step(
    net: Network, batches: Sequence[Batch], *, number: int = 0, lr: float = 0.0, precision: str = "float32"
) -> StepResult:
    """One step of plain descent; with rate 0 only the gradients are of interest."""
    return train_step(
        net,
        torch.optim.SGD(net.parameters(), lr=lr),
        [narrow(net, one) for one in batches],
        priorities=dict.fromkeys(net.heads, 1.0),
        seed=0,
        step=number,
        precision=precision,
    )


def narrow(net: Network, one: Batch) -> Batch:
    """The inputs and tasks the network has."""
    features = {name: cells for name, cells in one.inputs.items() if name in net.encoders}
    return Batch(features, {task: one.targets[task] for task in net.heads}, one.rows)


def gradients(net: Network, name: str) -> list[Tensor]:
    """Those of an input's encoder."""
    return [one.grad.clone() for one in net.encoders[name].encoder.parameters() if one.grad is not None]


def seen(net: Network, one: Batch, *, number: int = 0) -> Witness:
    """What the throttle is told in step `number` for this batch."""
    one = narrow(net, one)
    keys = keys_of(one.rows, 0, "step", number)
    tokens = net.encode(one.inputs, keys)
    scale = {task: 1 / int(cells.present.sum()) for task, cells in one.targets.items()}
    return witness(net, tokens, net.decide(tokens, keys), one.targets, scale=scale, keys=keys)


def told(
    losses: Mapping[str, Mapping[str, list[float]]],
    *,
    absent: Mapping[str, list[int]] | None = None,
    alone: Mapping[str, list[float]] | None = None,
) -> Witness:
    """A witness made up by hand: row losses by input and task, rows in which an input is absent, all rows labelled;
    `alone` has the row losses of every task for a set of inputs, written as their names joined."""
    absent = absent or {}
    num_rows = len(next(iter(next(iter(losses.values())).values())))
    every = torch.ones(num_rows, dtype=torch.bool)
    present = {name: ~torch.tensor([row in absent.get(name, []) for row in range(num_rows)]) for name in losses}
    jobs = sorted({task for own in losses.values() for task in own})
    decided = {frozenset(names): torch.tensor(rows) for names, rows in (alone or {}).items()}
    everything = decided.get(frozenset(losses), torch.zeros(num_rows))
    return Witness(
        tokens={name: Tokens(torch.zeros(num_rows, 1, 2), every[:, None], one) for name, one in present.items()},
        targets={task: Cells({"target": torch.zeros(num_rows)}, every) for task in jobs},
        losses={
            name: {task: torch.where(present[name], torch.tensor(own[task]), 0.0) for task in own}
            for name, own in losses.items()
        },
        counted={name: dict.fromkeys(own, present[name]) for name, own in losses.items()},
        joint=dict.fromkeys(jobs, everything),
        labelled=dict.fromkeys(jobs, every),
        scale=dict.fromkeys(jobs, 1 / num_rows),
        alone=lambda names: dict.fromkeys(jobs, decided[names]),
    )
