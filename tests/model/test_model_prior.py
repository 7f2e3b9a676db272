"""A row about which nothing is known is answered with the learned prior, whatever the fusion."""

from typing import Any

import pytest
import torch

from motet import balance, inputs, sharing, tasks
from motet.core.flow import Batch, Cells
from motet.model import Network, assemble
from motet.nn.prior import Prior
from motet.spec import ROOMS
from motet.training import train_step

PRIOR = torch.tensor([0.1, 0.7, 0.2]).log()
NOTHING = torch.tensor([False, False, True])


def network(kind: str) -> Network:
    number, label = inputs.Number(width=4, drop=0.0), tasks.Multiclass()
    fusion: Any = ROOMS["fusion"][kind]()
    made = assemble(
        inputs={name: (number, number.fit([1, 2, 3, 4])) for name in ("age", "size")},
        tasks={"shop": (label, label.fit(["a", "b", "c"]))},
        fusion=fusion,
        sharing=sharing.Hard(width=4, dropout=0.0),
        task_balance=balance.Fixed(),
        modality_balance=balance.NoThrottle(),
    )
    made.priors["shop"].start_from(PRIOR)
    return made


def batch(*, absent: torch.Tensor = NOTHING) -> Batch:
    generator = torch.Generator().manual_seed(0)
    width = network("concat").encoders["age"].encoder.embedding.in_features
    cells = {name: Cells({"features": torch.randn(3, width, generator=generator)}, ~absent) for name in ("age", "size")}
    target = Cells({"target": torch.tensor([0, 1, 2])}, torch.ones(3, dtype=torch.bool))
    return Batch(cells, {"shop": target}, torch.arange(3))


@pytest.mark.parametrize("kind", sorted(ROOMS["fusion"]))
def test_a_row_without_inputs_answers_the_prior_and_others_do_not(kind: str) -> None:
    output = network(kind).eval()(batch().inputs)["shop"].output
    assert torch.equal(output[2], PRIOR)
    assert not torch.isclose(output[:2].softmax(-1), PRIOR.exp()).all()


@pytest.mark.parametrize("kind", sorted(ROOMS["fusion"]))
def test_the_prior_is_learned_from_rows_without_inputs_alone(kind: str) -> None:
    for absent, moves in ((NOTHING, True), (torch.zeros(3, dtype=torch.bool), False)):
        net = network(kind).train()
        train_step(
            net,
            torch.optim.SGD(net.parameters(), lr=0.1),
            [batch(absent=absent)],
            priorities={"shop": 1.0},
            seed=0,
            step=0,
        )
        assert bool((net.priors["shop"].answer != PRIOR).any()) is moves
        # the row is labelled "c", which the prior thinks unlikely
        assert bool(net.priors["shop"].answer[2] > PRIOR[2]) is moves


def test_known_rows_pass_as_they_are_and_send_their_gradient_back() -> None:
    prior = Prior((2,))
    output = torch.tensor([[1.0, 2.0], [torch.nan, torch.inf]], requires_grad=True)
    answered = prior(output, known=torch.tensor([True, False]))
    assert answered.tolist() == [[1.0, 2.0], [0.0, 0.0]]
    answered.sum().backward()
    assert output.grad is not None
    assert output.grad.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert prior.answer.grad is not None
    assert prior.answer.grad.tolist() == [1.0, 1.0]
