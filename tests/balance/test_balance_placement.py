"""Where the junction looks, how often, and what the heads see: against gradients taken one by one."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from motet.balance import DBMTL, MGDA, Balancer, Excess, Junction, MoCo
from motet.balance.base import GradientSpec, Placement, Scale
from motet.balance.simplex import min_norm_weights
from motet.core.errors import SpecError

TASKS = ("a", "b", "c")


class Model(nn.Module):
    """Every kind of shared layer: convolution, embedding, norm, linear with and without bias, one used twice."""

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.table = nn.Conv1d(3, 4, 3), nn.Embedding(5, 16)
        self.first, self.norm, self.twice = nn.Linear(32, 16), nn.LayerNorm(16), nn.Linear(16, 16)
        self.last = nn.Linear(16, 8, bias=False)
        self.junction = Junction(MGDA(**fields), tasks=TASKS)
        self.heads = nn.ModuleDict({task: nn.Linear(8, 1) for task in TASKS})

    def trunk(self, x: Tensor, index: Tensor) -> Tensor:
        hidden = self.norm(self.first(self.conv(x).flatten(1))) + self.table(index)
        return torch.tanh(self.last(self.twice(torch.tanh(self.twice(hidden)))))

    def losses(self, copies: dict[str, Tensor], y: Tensor) -> dict[str, Tensor]:
        return {t: ((self.heads[t](copies[t])[:, 0] - y[:, k]) ** 2).mean() * 3**k for k, t in enumerate(TASKS)}

    @property
    def shared(self) -> list[nn.Parameter]:
        return [p for name, p in self.named_parameters() if not name.startswith(("heads", "junction"))]


def data(seed: int = 1, rows: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return (
        torch.randn(rows, 3, 10, generator=g),
        torch.randint(0, 5, (rows,), generator=g),
        torch.randn(rows, 3, generator=g),
    )


def backward(model: Model, seed: int = 1) -> None:
    x, index, y = data(seed)
    model.junction.total(model.losses(model.junction(model.trunk(x, index)), y)).backward()


def rows_at(model: Model, place: str, seed: int = 1) -> tuple[Tensor, Tensor]:
    """The tasks' gradients at the place, and those of all shared parameters, one `autograd.grad` each."""
    x, index, y = data(seed)
    z = model.trunk(x, index)
    gain, bias = torch.ones(8, requires_grad=True), torch.zeros(8, requires_grad=True)
    seen = z * gain + bias
    losses = model.losses(dict.fromkeys(TASKS, seen), y)
    places = {"features": [z], "layer": [gain, bias], "parameters": model.shared}
    found = []
    for wanted in (places[place], model.shared):
        grads = [torch.autograd.grad(losses[task], wanted, retain_graph=True) for task in TASKS]
        found.append(torch.stack([torch.cat([g.flatten() for g in row]) for row in grads]).double())
    return found[0], found[1]


@pytest.mark.parametrize("place", ["features", "layer", "parameters"])
@pytest.mark.parametrize("rows", [6, 40])
def test_the_gram_and_the_update_are_those_of_separate_gradients(place: str, rows: int) -> None:
    model = Model(at=place)
    seen, shared = rows_at(model, place)
    backward(model)
    assert model.junction.gram is not None
    torch.testing.assert_close(model.junction.gram[1], seen @ seen.T, rtol=1e-5, atol=1e-7)
    weights = torch.from_numpy(min_norm_weights((seen @ seen.T).numpy()))
    update = torch.cat([p.grad.flatten() for p in model.shared if p.grad is not None]).double()
    torch.testing.assert_close(update, weights @ shared, rtol=1e-3, atol=1e-5)


class Counting(Balancer):
    """Weights that tell how often it was asked."""

    needs = "gram"

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        self.placement, self.asked = Placement(**fields), 0

    def combine(self, gram: Tensor, tasks: Any) -> Tensor:
        self.asked += 1
        return torch.full((len(tasks),), float(self.asked), dtype=torch.float64)


def grads(junction: Junction, head: Tensor) -> tuple[list[float], list[float]]:
    """Of the shared features, and of what lies behind task a's copy."""
    z = torch.ones(2, requires_grad=True)
    copies = junction(z)
    losses = {"a": (copies["a"] * head).sum(), "b": copies["b"].sum()}
    head.grad = None
    junction.total(losses).backward()
    assert z.grad is not None
    assert head.grad is not None
    return z.grad.tolist(), head.grad.tolist()


def test_every_third_backward_finds_new_weights_and_a_resumed_one_goes_on_counting() -> None:
    junction = Junction(Counting(every=3), tasks=("a", "b"))
    head = torch.ones(2, requires_grad=True)
    found = [grads(junction, head)[0][0] for _ in range(4)]
    assert found == [2.0, 2.0, 2.0, 4.0]
    second = Junction(Counting(every=3), tasks=("b", "a"))
    second.load_state_dict(junction.state_dict())
    assert grads(second, head)[0][0] == 4.0
    assert second.balancer.asked == 0


def test_weighted_heads_learn_by_the_weight_of_the_backward_before_and_the_trunk_by_the_new_one() -> None:
    junction = Junction(Counting(heads="weighted"), tasks=("a", "b"))
    head = torch.full((2,), 3.0, requires_grad=True)
    shared, own = zip(*(grads(junction, head) for _ in range(3)), strict=True)
    assert [one[0] for one in own] == [1.0, 1.0, 2.0]
    assert [one[0] for one in shared] == [4.0, 8.0, 12.0]


@pytest.mark.parametrize("scale", ["paper", "count", "norm"])
def test_priorities_and_lagged_weights_are_taken_out_of_what_the_balancer_sees(scale: Scale) -> None:
    junction = Junction(MGDA(heads="weighted", scale=scale), tasks=("a", "b"))
    plain = Junction(MGDA(scale=scale), tasks=("a", "b"))
    for _ in range(3):
        found = []
        for one in (junction, plain):
            z = torch.tensor([1.0, 2.0], requires_grad=True)
            copies = one(z)
            losses = {"a": copies["a"][0] * 3, "b": copies["b"].sum()}
            one.total(losses, priorities={"a": 2.0}).backward()
            assert z.grad is not None
            found.append(z.grad)
        torch.testing.assert_close(found[0], found[1])
        assert junction.weights == pytest.approx(plain.weights)


def test_a_place_the_method_can_not_look_at_is_refused() -> None:
    with pytest.raises(SpecError, match=r"at: moco can not compare gradients at 'features'; use auto or layer"):
        MoCo(at="features").build(TASKS)


@pytest.mark.parametrize("cls", [MoCo, DBMTL, Excess])
def test_what_adds_up_gradients_needs_those_of_every_batch(cls: type[GradientSpec]) -> None:
    with pytest.raises(SpecError, match=r"balance\.tasks\.every: .* adds up the gradients of every batch"):
        cls(every=3).build(TASKS)
    assert cls(every=1).build(TASKS).placement.every == 1
    assert MGDA(every=3).build(TASKS).placement.every == 3


def test_parameters_leave_no_trace_but_the_gradients() -> None:
    """The passes add nothing to the heads' gradients, and a second backward finds what the first found."""
    model, other = Model(at="parameters"), Model(at="features")
    other.load_state_dict(model.state_dict())
    backward(model)
    backward(other)
    for task in TASKS:
        torch.testing.assert_close(model.heads[task].weight.grad, other.heads[task].weight.grad)
    _, shared = rows_at(model, "parameters")
    weights = torch.tensor([model.junction.weights[task] for task in TASKS], dtype=torch.float64)
    first = torch.cat([p.grad.flatten() for p in model.shared if p.grad is not None]).double()
    torch.testing.assert_close(first, weights @ shared, rtol=1e-3, atol=1e-5)
    backward(model)
    second = torch.cat([p.grad.flatten() for p in model.shared if p.grad is not None]).double()
    torch.testing.assert_close(second, 2 * first, rtol=1e-5, atol=1e-7)


def test_a_task_may_have_any_name() -> None:
    names = ("names", "_names", "a.b", "train", "weight_")
    junction = Junction(MGDA(heads="weighted"), tasks=names)
    z = torch.ones(2, requires_grad=True)
    copies = junction(z)
    junction.total({name: copies[name].sum() for name in names}).backward()
    assert set(junction.weights) == set(names)
