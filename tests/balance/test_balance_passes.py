"""A pass per task to the shared parameters: the same as gradients taken one by one, whichever way is the cheaper."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from motet.balance import MGDA, Fixed, Junction
from motet.balance.parameters import Linear
from motet.balance.passes import products_are_cheaper
from motet.core.errors import SpecError

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


def update_of(trunk: nn.Module, x: Tensor, place: str, *, scale: float = 1.0) -> tuple[list[Tensor | None], Junction]:
    """The trunk's gradients after one backward, each loss of another size."""
    junction = Junction(Fixed() if place == "sum" else MGDA(at=place), tasks=("a", "b"))  # type: ignore[arg-type]
    trunk.zero_grad()
    z = junction(trunk(x))
    junction.total({"a": z["a"].mean(), "b": z["b"].pow(2).mean() * scale}).backward()
    return [p.grad for p in trunk.parameters()], junction


def test_hooks_on_parameters_do_what_they_do_in_any_backward() -> None:
    """A hook that holds a weight, one that halves a bias, one that waits for the gradient to be there."""
    for rows in (5, 300):
        trunk, x = trunk_of(rows)
        waited: list[Tensor] = []
        trunk[0].weight.register_post_accumulate_grad_hook(lambda p, waited=waited: waited.append(p.grad.clone()))
        without, _ = update_of(trunk, x, "parameters")
        assert len(waited) == 1
        assert torch.equal(waited[0], trunk[0].weight.grad)
        trunk[0].weight.register_hook(lambda g: g * 0)
        trunk[3].weight.register_hook(lambda g: g / 2)
        hooked, junction = update_of(trunk, x, "parameters")
        assert junction.gram is not None
        assert not trunk[0].weight.grad.any()
        assert without[4] is not None
        assert hooked[4] is not None
        assert bool((hooked[4] - without[4]).any())


def test_what_looks_like_a_linear_layer_and_is_none_gets_its_own_gradient() -> None:
    torch.manual_seed(0)
    x, w = torch.randn(4, 6), nn.Parameter(torch.randn(4, 6))
    b = nn.Parameter(torch.randn(4, 1))
    for scaling in ({"alpha": 2.0}, {"beta": 0.5}, {}):
        junction = Junction(MGDA(at="parameters"), tasks=("a", "b"))
        w.grad = b.grad = None
        copies = junction(torch.addmm(b, x, w.t(), **scaling))
        junction.total({"a": copies["a"].mean(), "b": copies["b"].pow(2).mean()}).backward()
        z = torch.addmm(b, x, w.t(), **scaling)
        mixed = junction.weights["a"] * z.mean() + junction.weights["b"] * z.pow(2).mean()
        for mine, plain in zip((w.grad, b.grad), torch.autograd.grad(mixed, (w, b)), strict=True):
            torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-6)


def test_gradients_whose_products_leave_float32_are_compared_all_the_same() -> None:
    trunk, x = trunk_of(5)
    _, junction = update_of(trunk, x, "parameters", scale=1e22)
    assert junction.weights == pytest.approx({"a": 1.0, "b": 0.0})


def test_backward_under_autocast_computes_as_without() -> None:
    for rows in (5, 300):
        trunk, x = trunk_of(rows)
        expected, _ = update_of(trunk, x, "parameters")
        expected = [one.clone() for one in expected if one is not None]
        junction = Junction(MGDA(at="parameters"), tasks=("a", "b"))
        trunk.zero_grad()
        z = junction(trunk(x))
        total = junction.total({"a": z["a"].mean(), "b": z["b"].pow(2).mean()})
        with torch.autocast("cpu", dtype=torch.bfloat16):
            total.backward()
        for mine, plain in zip(trunk.parameters(), expected, strict=True):
            torch.testing.assert_close(mine.grad, plain, rtol=1e-4, atol=1e-6)


def test_a_layer_that_no_row_enters_has_no_part() -> None:
    trunk, x = trunk_of(5)
    empty = nn.Linear(24, 24)
    junction = Junction(MGDA(at="parameters"), tasks=("a", "b"))
    z = junction(trunk(x) + empty(x[:0]).sum())
    junction.total({"a": z["a"].mean(), "b": z["b"].pow(2).mean()}).backward()
    assert empty.weight.grad is None or not empty.weight.grad.any()


def test_what_can_not_be_done_is_said() -> None:
    trunk, x = trunk_of(5)
    inner, outer = (Junction(MGDA(at="parameters"), tasks=("a", "b")) for _ in range(2))
    z = outer(inner(trunk(x))["a"])
    with pytest.raises(SpecError, match="goes through another one"):
        outer.total({"a": z["a"].mean(), "b": z["b"].pow(2).mean()}).backward()
    z = inner(trunk(x))
    with pytest.raises(RuntimeError, match="can not be differentiated twice"):
        inner.total({"a": z["a"].mean(), "b": z["b"].pow(2).mean()}).backward(create_graph=True)


def test_a_copy_or_a_file_of_a_junction_holds_none_of_its_memory() -> None:
    trunk, x = trunk_of(300)
    _, junction = update_of(trunk, x, "parameters")
    for other in (copy.deepcopy(junction), pickle.loads(pickle.dumps(junction))):
        assert other.workspace is not junction.workspace
        assert not other.workspace._memory
