"""A pass per task to the shared parameters: the same as gradients taken one by one, whichever way is the cheaper."""

import copy

import pytest
import torch
from torch import Tensor, nn

from motet.balance import MGDA, Fixed, Junction
from motet.balance.parameters import Linear
from motet.balance.passes import products_are_cheaper

TASKS = ("a", "b", "c", "d")


def trunk_of(rows: int, *, dtype: torch.dtype = torch.float32) -> tuple[nn.Sequential, Tensor]:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(24, 40), nn.Tanh(), nn.LayerNorm(40), nn.Linear(40, 24, bias=False)).to(dtype)
    return layers, torch.randn(rows, 24, dtype=dtype)


def losses(z: dict[str, Tensor]) -> dict[str, Tensor]:
    """Four tasks; the third has no gradient."""
    return {"a": z["a"].pow(2).mean(), "b": z["b"].sin().sum() * 100, "c": torch.tensor(1.0), "d": z["d"][:1].mean()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 9, 200])
def test_gram_and_update_are_those_of_gradients_taken_one_by_one(rows: int, dtype: torch.dtype) -> None:
    trunk, x = trunk_of(rows, dtype=dtype)
    junction, parameters = Junction(MGDA(at="parameters"), tasks=TASKS), list(trunk.parameters())
    z = trunk(x)
    wanted = losses(dict.fromkeys(TASKS, z))
    taken = [torch.autograd.grad(wanted[task], parameters, retain_graph=True) for task in ("a", "b", "d")]
    j = torch.stack([torch.cat([one.flatten() for one in row]) for row in taken]).double()
    junction.total(losses(junction(trunk(x)))).backward()
    assert junction.gram is not None
    names, gram = junction.gram
    assert names == ["a", "b", "d"]
    lengths = j.norm(dim=1)
    torch.testing.assert_close(
        gram / torch.outer(lengths, lengths), j @ j.T / torch.outer(lengths, lengths), rtol=0, atol=2e-6
    )
    weights = torch.tensor([junction.weights[task] for task in names], dtype=torch.float64)
    update = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).double()
    torch.testing.assert_close(update, weights @ j, rtol=1e-4, atol=1e-6)


def test_few_rows_are_multiplied_and_of_many_the_gradients_are_formed() -> None:
    def layer(rows: int, dtype: torch.dtype = torch.float32) -> Linear:
        one = nn.Linear(64, 64)
        return Linear(
            torch.autograd.graph.get_gradient_edge(one.weight), torch.zeros(rows, 64, dtype=dtype), one.weight, one.bias
        )

    assert products_are_cheaper(layer(16), num_tasks=4)
    assert not products_are_cheaper(layer(1000), num_tasks=4)
    assert not products_are_cheaper(layer(16, torch.bfloat16), num_tasks=4)


def test_no_other_pass_follows_and_what_else_adds_to_the_gradients_stays() -> None:
    """Each task once, and an ordinary backward beside: a loss that does not go through the junction."""
    trunk, x = trunk_of(9)
    seen: list[int] = []
    junction = Junction(MGDA(at="parameters"), tasks=("a", "b"))
    hidden = trunk[0](x)
    hidden.register_hook(lambda _: seen.append(1))
    copies = junction(trunk[1:](hidden))
    beside = trunk[0].weight.pow(2).sum()
    total = junction.total({"a": copies["a"].mean(), "b": copies["b"].pow(2).mean()})
    (total + beside).backward()
    assert len(seen) == 2
    alone = copy.deepcopy(trunk)
    alone.zero_grad()
    z = alone(x)
    mixed = junction.weights["a"] * z.mean() + junction.weights["b"] * z.pow(2).mean()
    (mixed + alone[0].weight.pow(2).sum()).backward()
    for mine, plain in zip(trunk.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, plain.grad, rtol=1e-4, atol=1e-6)


def test_a_leaf_missing_in_the_list_gets_its_gradient_all_the_same() -> None:
    """The list is for processes to agree; a parameter left out of it is reached by the ordinary backward."""
    from motet.balance import MoCo

    trunk, x = trunk_of(9)
    junction = Junction(MoCo(), tasks=("a", "b"))
    junction.shared = list(trunk[0].parameters())
    copies = junction(trunk(x))
    junction.total({"a": copies["a"].mean(), "b": copies["b"].pow(2).mean()}).backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in trunk.parameters())


def test_an_input_that_wants_its_gradient_gets_it() -> None:
    trunk, x = trunk_of(3)
    x.requires_grad_()
    for balancer in (MGDA(at="parameters"), Fixed()):
        x.grad = None
        junction = Junction(balancer, tasks=("a",))
        junction.total({"a": junction(trunk(x))["a"].sum()}).backward()
        assert x.grad is not None
    z = trunk(x).sum()
    torch.testing.assert_close(x.grad, torch.autograd.grad(z, x)[0])
