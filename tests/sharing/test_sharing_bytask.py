"""Stacks of one tensor per task: what stands in the state, and that one product is what a loop over tasks would be."""

import pytest
import torch

from motet.sharing.bytask import ByTask, KeptByTask, StackedLinear, stacked, times

NAMES = ("b", "a.b", "_names", "tasks", "weight", "training", "%")


def test_any_name_will_do_and_is_found_again() -> None:
    values = {name: torch.full((2,), float(index)) for index, name in enumerate(NAMES)}
    learned, kept = ByTask(values), KeptByTask(NAMES, shape=(2,))
    for name in NAMES:
        assert learned([name]).tolist() == [values[name].tolist()]
    kept.keep(learned())
    assert torch.equal(kept(), learned())
    assert torch.equal(learned(), learned(sorted(NAMES)))
    assert list(learned.state_dict()) == list(kept.state_dict())
    assert len(list(learned.parameters())) == len(NAMES)
    assert not list(kept.parameters())


def test_a_start_that_tasks_share_is_copied() -> None:
    start = torch.zeros(2)
    one, other = ByTask(dict.fromkeys(("a", "b"), start)).parameters()
    with torch.no_grad():
        one.add_(1)
    assert other.tolist() == start.tolist() == [0, 0]


@pytest.mark.parametrize("shared", [True, False])
def test_each_task_has_a_linear_layer_of_its_own(shared: bool) -> None:
    torch.manual_seed(0)
    layers = StackedLinear(4, 3, tasks=NAMES)
    for parameter in layers.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(5, 4)
    copies = {name: x if shared else torch.randn(5, 4) for name in NAMES[2:]}
    found = layers(copies)
    assert sorted(found) == sorted(copies)
    for name, copy in copies.items():
        weight, bias = layers.weight([name])[0].detach(), layers.bias([name])[0].detach()
        expected = [[sum(w * v for w, v in zip(out, row, strict=True)) for out in weight] for row in copy]
        torch.testing.assert_close(found[name], torch.tensor(expected) + bias)


def test_all_tasks_start_alike_and_a_tenth_as_large() -> None:
    torch.manual_seed(0)
    layers = StackedLinear(16, 8, tasks=("a", "b"))
    torch.manual_seed(0)
    usual = torch.nn.Linear(16, 8)
    for name in ("a", "b"):
        torch.testing.assert_close(layers.weight([name])[0], usual.weight * 0.1)
        torch.testing.assert_close(layers.bias([name])[0], usual.bias * 0.1)


def test_copies_that_are_one_tensor_are_not_stacked() -> None:
    x = torch.randn(5, 4)
    assert stacked([x, x]) is x
    assert stacked([x, x.clone()]).shape == (2, 5, 4)
    weight = torch.randn(2, 3, 4)
    torch.testing.assert_close(times(x, weight), times(torch.stack([x, x]), weight))


def test_the_gradients_of_all_tasks_reach_what_they_share() -> None:
    layers, x = StackedLinear(4, 3, tasks=("a", "b")).double(), torch.randn(5, 4, dtype=torch.float64)

    def both(shared: torch.Tensor, own: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (*layers({"a": shared, "b": shared}).values(), *layers({"a": shared, "b": own}).values())

    assert torch.autograd.gradcheck(both, (x.requires_grad_(), x.detach().clone().requires_grad_()))
