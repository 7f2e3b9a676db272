"""The moving average of the weights: its recursion by hand, that looking at it changes nothing, and that it resumes."""

import pytest
import torch
from torch import nn

from motet.training.average import WeightAverage


def moved(layer: nn.Linear, value: float) -> None:
    with torch.no_grad():
        layer.weight.fill_(value)


def test_it_is_the_recursion_written_out() -> None:
    layer = nn.Linear(1, 1, bias=False)
    moved(layer, 1.0)
    average, expected = WeightAverage(layer, decay=0.3), 1.0
    for step, value in enumerate([2.0, -1.0, 5.0, 0.5, 3.0]):
        moved(layer, value)
        average.update(step=step)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert average.tensors()["weight"].item() == pytest.approx(expected)


def test_looking_at_the_average_leaves_both_bit_for_bit() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    average = WeightAverage(layer, decay=0.9)
    moved(layer, 0.1)
    average.update(step=0)
    weights, mean = layer.weight.clone(), average.tensors()
    with average.applied():
        assert torch.equal(layer.weight, mean["weight"])
        assert not torch.equal(layer.weight, weights)
    assert torch.equal(layer.weight, weights)
    assert all(torch.equal(one, average.tensors()[name]) for name, one in mean.items())


def test_decay_0_is_the_weights_themselves() -> None:
    layer = nn.Linear(2, 2)
    average = WeightAverage(layer, decay=0.0)
    moved(layer, 7.0)
    average.update(step=0)
    with average.applied():
        assert (layer.weight == 7).all()
    assert average.tensors() == {}


def test_it_goes_on_from_what_it_gave() -> None:
    first, second = nn.Linear(2, 1), nn.Linear(2, 1)
    one = WeightAverage(first, decay=0.9)
    moved(first, 2.0)
    one.update(step=0)
    other = WeightAverage(second, decay=0.9)
    other.restore(one.tensors())
    second.load_state_dict(first.state_dict())
    for average, layer in ((one, first), (other, second)):
        moved(layer, 4.0)
        average.update(step=1)
    assert torch.equal(one.tensors()["weight"], other.tensors()["weight"])
