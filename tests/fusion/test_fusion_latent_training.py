"""Losses of a fusion's own within a training step: of all rows, labelled or not, beside tasks, outside balance."""

import copy

import pytest
import torch
from torch import Tensor

from motet import balance, fusion, inputs, sharing, tasks
from motet.balance.base import BalancerSpec
from motet.core.errors import SpecError
from motet.core.flow import Batch, Cells, LossTerm
from motet.core.together import Together
from motet.fusion.base import FusionSpec
from motet.model import Network, assemble
from motet.nn.keyed import keys_of
from motet.spec import load
from motet.study.fit import fit
from motet.training import Quiet, StepResult, train_step
from motet.training.losses import fusion_losses
from motet.training.sharding import check_divisible

DECODES = fusion.Latent(width=4, align="none", decode=True, decode_weight=0.7)
ALIGNS = fusion.Latent(width=4, decode=True)


def network(joined: FusionSpec = ALIGNS, balancer: BalancerSpec = balance.Fixed()) -> Network:  # noqa: B008
    number = inputs.Number(width=3, encoding="linear", drop=0.0)
    asked = {"sold": tasks.Binary(), "price": tasks.Regression()}
    labels = {"sold": ["no", "yes"], "price": [0.0, 1.0]}
    return (
        assemble(
            inputs={name: (number, number.fit([0.0, 1.0])) for name in ("age", "size")},
            tasks={name: (one, one.fit(labels[name])) for name, one in asked.items()},
            fusion=joined,
            sharing=sharing.Hard(width=4, dropout=0.0),
            task_balance=balancer,
            modality_balance=balance.NoThrottle(),
        )
        .double()
        .train()
    )


def batch(num_rows: int = 12, *, labelled: float = 0.7, first: int = 0) -> Batch:
    """Every fourth row lacks one input or the other; what its cell holds is NaN."""
    generator = torch.Generator().manual_seed(first)
    features = {}
    for place, name in enumerate(("age", "size")):
        present = torch.arange(num_rows) % 4 != place
        values = torch.randn(num_rows, 1, generator=generator).double()
        features[name] = Cells({"features": torch.where(present[:, None], values, torch.nan)}, present)
    there = torch.rand(2, num_rows, generator=generator) < labelled
    targets = {
        "sold": Cells({"target": torch.rand(num_rows, generator=generator).round().double()}, there[0]),
        "price": Cells({"target": torch.randn(num_rows, generator=generator).double()}, there[1]),
    }
    return Batch(features, targets, torch.arange(num_rows) + first)


def step(net: Network, batches: list[Batch]) -> StepResult:
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    return train_step(net, optimizer, batches, priorities={"sold": 1.0, "price": 2.0}, seed=0, step=0)


def moved(net: Network, after: Network) -> dict[str, Tensor]:
    """What a step of length 1 took away: the gradient."""
    return {
        name: (one - other).detach()
        for (name, one), other in zip(net.named_parameters(), after.parameters(), strict=True)
    }


def alone(net: Network, one: Batch) -> dict[str, Tensor]:
    """The gradient of the fusion's own losses, each a mean over its rows, and of nothing else."""
    own = copy.deepcopy(net)
    terms = own.objectives(own.encode(one.inputs, keys_of(one.rows, 0, "step", 0)))
    torch.stack([term.sum / term.count for term in terms.values()]).sum().backward()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in own.named_parameters()}


def test_rows_without_any_label_teach_the_fusion() -> None:
    net, unlabelled = network(), batch(labelled=0.0)
    after = copy.deepcopy(net)
    result = step(after, [unlabelled])
    assert (result.losses, result.moved) == ({}, True)
    expected = alone(net, unlabelled)
    assert any(bool(one.any()) for one in expected.values())
    for name, found in moved(net, after).items():
        torch.testing.assert_close(found, expected[name], msg=name)


def test_the_log_holds_every_loss_by_name() -> None:
    result = step(network(), [batch()])
    assert sorted(result.terms) == [
        "fusion/contrastive age size",
        "fusion/decode age to size",
        "fusion/decode size to age",
    ]
    assert all(value > 0 for value in result.terms.values())


@pytest.mark.parametrize(
    "balancer",
    [balance.Fixed(), balance.Uncertainty(), balance.MGDA(), balance.MGDA(at="parameters"), balance.PCGrad(at="layer")],
    ids=lambda spec: f"{spec.kind} {getattr(spec, 'at', '')}",
)
def test_they_are_added_and_take_no_part_in_the_balance(balancer: BalancerSpec) -> None:
    """The same gradient as without them, plus theirs; the same weights of tasks."""
    one, net = batch(), network(balancer=balancer)
    without, with_them = copy.deepcopy(net), copy.deepcopy(net)
    without.fusion.learns_alone = False
    first, second = step(without, [one]), step(with_them, [one])
    assert (second.weights, second.losses) == (first.weights, first.losses)
    expected, plain = alone(net, one), moved(net, without)
    for name, found in moved(net, with_them).items():
        torch.testing.assert_close(found, plain[name] + expected[name], msg=name)


def test_batches_of_a_step_count_by_their_rows() -> None:
    net, batches = network(DECODES), [batch(8), batch(4, first=8)]
    after, plain = copy.deepcopy(net), copy.deepcopy(net)
    plain.fusion.learns_alone = False
    step(after, batches), step(plain, batches)
    parts = [alone(net, one) for one in batches]
    for name, found in moved(net, after).items():
        own = parts[0][name] * 8 / 12 + parts[1][name] * 4 / 12
        torch.testing.assert_close(found, moved(net, plain)[name] + own, msg=name)


class Other(Together):
    """The first of two processes; what the second would say is known already."""

    def __init__(self, said: list[Tensor]) -> None:
        super().__init__()
        self.count, self.said, self.own = 2, said, list[Tensor]()

    def summed(self, values: Tensor) -> Tensor:
        self.own.append(values)
        return values + self.said[len(self.own) - 1] if self.said else values


def test_two_processes_find_what_one_finds() -> None:
    """Losses are the same numbers, and the gradients of both add up to that of one."""
    net, whole = network(DECODES), batch(12)
    parts = [_rows(whole, slice(0, 5)), _rows(whole, slice(5, 12))]
    said = []
    for part in parts:
        listening = Other([])
        _losses(net, part, listening)
        said.append(listening.own)
    found = [_losses(net, part, Other(other)) for part, other in zip(parts, reversed(said), strict=True)]
    losses, gradient = _losses(net, whole, Together())
    for one, _ in found:
        torch.testing.assert_close(one, losses)
    torch.testing.assert_close(found[0][1] + found[1][1], gradient)


def test_a_filler_counts_nothing() -> None:
    losses, gradient = _losses(network(), batch().as_filler(), Together())
    assert set(losses.tolist()) == {0.0}
    assert not bool(gradient.any())


def _rows(whole: Batch, rows: slice) -> Batch:
    chosen = torch.arange(12)[rows]
    return Batch({name: one.rows(chosen) for name, one in whole.inputs.items()}, {}, whole.rows[rows])


def _losses(net: Network, one: Batch, together: Together) -> tuple[Tensor, Tensor]:
    net.zero_grad()
    keys = keys_of(one.rows, 0, "step", 0)
    losses = fusion_losses(net, net.encode(one.inputs, keys), one, keys=keys, together=together)
    values = torch.stack(list(losses.values()))
    values.sum().backward()
    gradients = [p.grad.flatten() for p in net.parameters() if p.grad is not None]
    return values.detach(), torch.cat(gradients)


def test_an_objective_that_is_not_finite_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    zero = torch.zeros((), requires_grad=True)
    monkeypatch.setattr(net.fusion, "objectives", lambda *given: {"bad": LossTerm(zero * torch.inf, torch.tensor(1))})
    assert step(net, [batch()]).moved


def test_in_half_precision_they_are_whole() -> None:
    net, one = network().float(), batch()
    tokens = net.encode(
        {n: Cells({"features": c.values["features"].float()}, c.present) for n, c in one.inputs.items()}
    )
    half = {name: type(t)(t.values.bfloat16(), t.mask, t.present) for name, t in tokens.items()}
    assert {term.sum.dtype for term in net.objectives(half).values()} == {torch.float32}


def test_several_processes_are_refused_where_rows_are_compared(tmp_path: object) -> None:
    given = {"data": {"train": "t.csv"}, "inputs": {"a": "number"}, "tasks": {"b": "regression"}}
    experiment = load({**given, "fusion": "latent", "training": {"devices": 2}})
    with pytest.raises(SpecError, match=r"fusion: latent .*train in one, or set `align: none`"):
        fit(experiment, out=tmp_path, base=tmp_path, resume=False, progress=Quiet())  # type: ignore[arg-type]


def test_divided_weights_are_refused() -> None:
    with pytest.raises(SpecError, match=r"training\.shard: the fusion has losses of its own"):
        check_divisible(network(), watched=False)
