import math

import pytest
import torch
from torch import nn

from motet.training import TrainingSpec, build_optimizer
from motet.training.optimizer import rate_at, set_rate


def spec(**fields: object) -> TrainingSpec:
    return TrainingSpec.model_validate({"learning_rate": 2.0, "warmup": 0.1, "schedule": "cosine"} | fields)


def test_the_rate_warms_up_linearly_then_falls_as_a_cosine() -> None:
    rates = [rate_at(step, 100, spec()) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10:] == pytest.approx([1 + math.cos(math.pi * step / 90) for step in range(90)])


def test_linear_and_constant_schedules() -> None:
    assert [rate_at(step, 10, spec(schedule="linear", warmup=0.0)) for step in (0, 5, 9)] == pytest.approx([2, 1, 0.2])
    assert {rate_at(step, 10, spec(schedule="constant", warmup=0.0)) for step in range(10)} == {2.0}


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("num_steps", [1, 2, 3, 50])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.9])
def test_every_rate_lies_between_zero_and_the_peak(schedule: str, num_steps: int, warmup: float) -> None:
    rates = [rate_at(step, num_steps, spec(schedule=schedule, warmup=warmup)) for step in range(num_steps + 1)]
    assert all(0 <= rate <= 2.0 for rate in rates)
    assert rates[0] > 0
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_only_matrices_decay(name: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Embedding(2, 5))
    model[0].weight.requires_grad_(False)
    optimizer = build_optimizer(model, spec(optimizer=name, weight_decay=0.5))
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    free = {id(p) for group in optimizer.param_groups if not group["weight_decay"] for p in group["params"]}
    assert decayed == {id(model[2].weight)}
    assert free == {id(model[0].bias), id(model[1].weight), id(model[1].bias)}
    assert type(optimizer).__name__.lower() == name


def test_without_a_gradient_from_the_loss_a_bias_stays_and_a_matrix_shrinks() -> None:
    model = nn.Linear(3, 2)
    nn.init.ones_(model.weight)
    nn.init.ones_(model.bias)
    optimizer = build_optimizer(model, spec(optimizer="adamw", weight_decay=0.1, learning_rate=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), torch.full((2, 3), 1 - 0.5 * 0.1))
    assert model.bias.tolist() == [1.0, 1.0]


def test_set_rate_reaches_every_group() -> None:
    optimizer = build_optimizer(nn.Linear(2, 2), spec())
    set_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
