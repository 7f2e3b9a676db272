"""Rows that weigh: twice the weight is twice the row, no weight is no label, in the gradient of a whole step."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from motet import balance, fusion, inputs, sharing, tasks
from motet.core.errors import SpecError
from motet.core.flow import Batch, Column
from motet.data import Dataset, read_cells, read_table
from motet.fusion.base import FusionSpec
from motet.model import Network, assemble
from motet.run.draws import check_weighed
from motet.training import train_step

ROWS = [
    {"age": 1.0, "size": None, "sold": "no", "price": 3.0, "kind": "a", "tags": "x|y"},
    {"age": None, "size": 2.0, "sold": "yes", "price": None, "kind": "b", "tags": ""},
    {"age": 0.5, "size": -1.0, "sold": "yes", "price": 1.0, "kind": "c", "tags": "y"},
    {"age": -2.0, "size": 0.0, "sold": None, "price": 2.5, "kind": "a", "tags": "x"},
]
INPUT = inputs.Number(width=4, drop=0.3)
TASKS = {
    "sold": tasks.Binary(),
    "price": tasks.Regression(),
    "kind": tasks.Multiclass(),
    "tags": tasks.Multilabel(),
}
FUSIONS: dict[str, FusionSpec] = {"concat": fusion.Concat(width=4), "late": fusion.Late(width=4, auxiliary=0.5)}
CODECS = {name: spec.fit([row[name] for row in ROWS if row[name]]) for name, spec in TASKS.items()}
READER = INPUT.fit([0.0, 1.0, 2.0])
COLUMNS = {name: Column((name,), READER) for name in ("age", "size")}
COLUMNS |= {name: Column((name,), codec) for name, codec in CODECS.items()}


def network(joined: FusionSpec) -> Network:
    return assemble(
        inputs=dict.fromkeys(("age", "size"), (INPUT, READER)),
        tasks={name: (spec, CODECS[name]) for name, spec in TASKS.items()},
        fusion=joined,
        sharing=sharing.Hard(width=6, dropout=0.4),
        task_balance=balance.Fixed(),
        modality_balance=balance.NoThrottle(),
    ).train()


def batch(rows: list[int], weights: list[float] | None = None, *, unlabelled: tuple[int, ...] = ()) -> Batch:
    """These rows, a row by its own number each time it comes, so that all chance is the same."""
    table = read_table([row | (dict.fromkeys(TASKS) if n in unlabelled else {}) for n, row in enumerate(ROWS)])
    store = read_cells(table, None, COLUMNS)
    held = None if weights is None else np.array(weights, dtype=np.float32)
    dataset = Dataset(store, inputs=("age", "size"), targets=tuple(TASKS), weights=held)
    return dataset.batch(np.array(rows), epoch=0)


def gradients(joined: str, *batches: Batch) -> dict[str, Tensor]:
    """What a step moves each weight by, with a learning rate of 1 and nothing else."""
    before = network(FUSIONS[joined])
    after = copy.deepcopy(before)
    optimizer = torch.optim.SGD(after.parameters(), lr=1.0)
    result = train_step(after, optimizer, batches, priorities=dict.fromkeys(TASKS, 1.0), seed=0, step=0)
    assert result.moved
    start = dict(before.named_parameters())
    return {name: (start[name] - one).detach() for name, one in after.named_parameters()}


def assert_alike(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert max(float(found.abs().max()) for found in one.values()) > 0.01
    for name, found in one.items():
        torch.testing.assert_close(found, other[name], rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("joined", FUSIONS)
def test_weight_2_is_the_row_twice(joined: str) -> None:
    weighed = gradients(joined, batch([0, 1, 2, 3], [2, 1, 3, 1]))
    assert_alike(weighed, gradients(joined, batch([0, 0, 1, 2, 2, 2, 3])))
    plain = gradients(joined, batch([0, 1, 2, 3]))
    assert any(not torch.allclose(found, plain[name], atol=1e-4) for name, found in weighed.items())


@pytest.mark.parametrize("joined", FUSIONS)
def test_weight_0_is_no_label(joined: str) -> None:
    weighed = gradients(joined, batch([0, 1, 2, 3], [1, 0, 1, 0]))
    assert_alike(weighed, gradients(joined, batch([0, 1, 2, 3], unlabelled=(1, 3))))


@pytest.mark.parametrize("joined", FUSIONS)
def test_only_proportions_count(joined: str) -> None:
    assert_alike(gradients(joined, batch([0, 1, 2], [4, 2, 1, 9])), gradients(joined, batch([0, 1, 2], [2, 1, 0.5, 9])))


def test_a_step_of_several_batches_is_one_of_all_their_rows() -> None:
    weights = [2.0, 1.0, 0.25, 3.0]
    apart = gradients("concat", batch([0, 1], weights), batch([2, 3], weights))
    assert_alike(apart, gradients("concat", batch([0, 1, 2, 3], weights)))


def test_a_batch_in_which_no_row_counts_moves_nothing() -> None:
    net = network(FUSIONS["concat"])
    before = copy.deepcopy(dict(net.named_parameters()))
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    none = batch([0, 1], [0, 0, 1, 1])
    result = train_step(net, optimizer, [none], priorities=dict.fromkeys(TASKS, 1.0), seed=0, step=0)
    assert (result.losses, result.counts) == ({}, {})
    assert all(torch.equal(one, before[name]) for name, one in net.named_parameters())


def test_the_loss_is_the_weighted_mean() -> None:
    weights = [2.0, 1.0, 0.25, 3.0]
    net = network(FUSIONS["concat"])
    each = []
    for row in (0, 2, 3):
        still = copy.deepcopy(net)
        optimizer = torch.optim.SGD(still.parameters(), lr=0.0)
        result = train_step(still, optimizer, [batch([row])], priorities=dict.fromkeys(TASKS, 1.0), seed=0, step=0)
        each.append((weights[row], result.losses["price"]))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    whole = batch([0, 1, 2, 3], weights)
    result = train_step(net, optimizer, [whole], priorities=dict.fromkeys(TASKS, 1.0), seed=0, step=0)
    total = sum(weight for weight, _ in each)
    assert result.losses["price"] == pytest.approx(sum(weight * loss for weight, loss in each) / total, rel=1e-5)
    assert result.counts["price"] == pytest.approx(total)


@pytest.mark.parametrize(
    ("rule", "refused"), [("mean", False), ("product", True), ("uncertainty", True), ("evidential", True)]
)
def test_rules_whose_losses_count_all_rows_alike_are_refused(rule: str, refused: bool) -> None:
    net = network(fusion.Late(width=4, rule=rule))
    if not refused:
        check_weighed(net, balance="none")
        return
    with pytest.raises(SpecError, match=r"fusion\.rule: some rows weigh more than others.*use rule: mean"):
        check_weighed(net, balance="none")
