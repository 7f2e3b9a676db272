"""The junction's look at how gradients relate: values by hand, and what it leaves as it is."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from motet.balance import MGDA, Balancer, BalancerSpec, Fixed, GradDrop, Junction, Uncertainty
from motet.balance.relations import Relations, Sums
from motet.balance.watch import Related, Watch

TASKS = ("a", "b")


def looked(
    spec: BalancerSpec | Balancer, *, tasks: tuple[str, ...] = TASKS, priorities: dict[str, float] | None = None
) -> tuple[Junction, Tensor]:
    """z = (p, 2q): the gradients of L_a = p and L_b = 3 - p + 2q at the parameters are (1, 0) and (-1, 2)."""
    junction = Junction(spec, tasks=tasks)
    junction.watch.every = 1
    junction.watch.begin(0)
    x = torch.tensor([1.0, 0.0], requires_grad=True)
    z = junction(x * torch.tensor([1.0, 2.0]))
    losses = {"a": z["a"][0], "b": 3 - z["b"][0] + z["b"][1]}
    junction.total(losses, priorities=priorities).backward()
    assert x.grad is not None
    return junction, x.grad


@pytest.mark.parametrize("spec", [Fixed(), Fixed(weights={"b": 7.0}), Uncertainty(), MGDA(), GradDrop()])
@pytest.mark.parametrize("priorities", [None, {"a": 0.5, "b": 4.0}])
def test_the_gram_is_that_of_the_losses_whatever_multiplies_them(
    spec: BalancerSpec, priorities: dict[str, float] | None
) -> None:
    junction, _ = looked(spec, priorities=priorities)
    found = junction.watch.found
    assert found is not None
    assert found.tasks == TASKS
    assert found.gram.dtype == torch.float64
    torch.testing.assert_close(found.gram, torch.tensor([[1.0, -1.0], [-1.0, 5.0]]).double())
    assert found.losses == pytest.approx((1.0, 2.0))


def test_lagged_weights_are_divided_out() -> None:
    spec = MGDA(heads="weighted")
    junction = Junction(spec, tasks=TASKS)
    junction.watch.every = 1
    for step in range(3):
        junction.watch.begin(step)
        x = torch.tensor([1.0, 0.0], requires_grad=True)
        z = junction(x * torch.tensor([1.0, 2.0]))
        junction.total({"a": z["a"][0], "b": 3 - z["b"][0] + z["b"][1]}).backward()
        assert junction.watch.found is not None
        torch.testing.assert_close(junction.watch.found.gram, torch.tensor([[1.0, -1.0], [-1.0, 5.0]]).double())
    assert junction.weights["a"] != 1


def test_the_order_of_tasks_changes_nothing() -> None:
    straight, turned = (looked(Fixed(), tasks=tasks)[0].watch.found for tasks in (TASKS, TASKS[::-1]))
    assert straight is not None
    assert turned is not None
    assert straight.tasks == turned.tasks
    assert torch.equal(straight.gram, turned.gram)


def test_a_task_without_loss_or_gradient_or_weight_is_left_out() -> None:
    junction = Junction(Fixed(), tasks=("a", "b", "c", "d", "e"))
    junction.watch.every = 1
    junction.watch.begin(0)
    x = torch.ones(2, requires_grad=True)
    z = junction(x * 1)
    losses = {
        "a": z["a"].sum(),
        "b": z["b"].sum() * 0,  # no gradient
        "c": None,
        "d": z["d"].sum() * math.nan,
        "e": z["e"][0] * 2,
    }
    junction.total(losses, priorities={"a": 1.0, "e": 0.0}).backward()
    assert junction.watch.found is not None
    assert junction.watch.found.tasks == ("a",)


def test_where_a_gradient_is_not_finite_nothing_is_found() -> None:
    junction = Junction(Fixed(), tasks=TASKS)
    junction.watch.every = 1
    junction.watch.begin(0)
    x = torch.zeros(2, requires_grad=True)
    z = junction(x * 1)
    junction.total({"a": z["a"].sqrt().sum(), "b": z["b"].sum()}).backward()
    assert junction.watch.found is None
    assert x.grad is not None
    assert torch.isinf(x.grad).all()


def test_which_steps_are_due_depends_on_their_number_alone() -> None:
    watch = Watch(every=3)
    due = []
    for step in (0, 1, 2, 3, 6, 7, 5, 9):
        watch.begin(step)
        due.append(watch.on)
        watch.begin(step, first=False)
        assert not watch.on
    assert due == [True, False, False, True, True, False, False, True]
    watch = Watch()
    watch.begin(0)
    assert not watch.on


def test_what_was_found_is_gone_in_the_next_step_but_not_in_the_next_batch() -> None:
    junction, _ = looked(Fixed())
    found = junction.watch.found
    junction.watch.begin(0, first=False)
    assert junction.watch.found is found is not None
    junction.watch.begin(1)
    assert junction.watch.found is None


def test_off_a_copy_is_the_features_themselves_and_on_it_is_one_node() -> None:
    junction = Junction(Fixed(), tasks=TASKS)
    z = torch.ones(2, requires_grad=True) * 1
    assert junction(z)["a"] is z
    junction.watch.every = 1
    junction.watch.begin(0)
    copies = junction(z)
    assert copies["a"].grad_fn is copies["b"].grad_fn is not z.grad_fn
    with torch.no_grad():
        assert junction(z)["a"] is z


def test_weights_and_state_stay_what_they_are() -> None:
    junction, gradient = looked(Fixed())
    assert gradient.tolist() == [0.0, 2.0]
    assert junction.weights == {"a": 1.0, "b": 1.0}
    assert junction.state_dict().keys() == Junction(Fixed(), tasks=TASKS).state_dict().keys()
    assert all(
        torch.equal(a, b) for a, b in zip(junction.buffers(), Junction(Fixed(), tasks=TASKS).buffers(), strict=True)
    )


class Small(nn.Module):
    """Trunk, junction and heads in one forward, as one would compile it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk, self.junction = nn.Linear(3, 8), Junction(Fixed(), tasks=TASKS)
        self.heads = nn.ModuleDict({task: nn.Linear(8, 1) for task in TASKS})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {task: self.heads[task](copy) for task, copy in self.junction(torch.tanh(self.trunk(x))).items()}


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's, at any graph break
def test_under_compile_it_finds_the_same() -> None:
    x, eager, compiled = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), Small(), Small()
    for model, run in ((eager, eager), (compiled, torch.compile(compiled, backend="aot_eager"))):
        model.junction.watch.every = 1
        model.junction.watch.begin(0)
        outputs = run(x)
        model.junction.total({"a": outputs["a"].pow(2).mean(), "b": 5 * outputs["b"].abs().mean()}).backward()
    found, expected = compiled.junction.watch.found, eager.junction.watch.found
    assert found is not None
    assert expected is not None
    torch.testing.assert_close(found.gram, expected.gram)


# --- what is collected


def seen(gram: list[list[float]], losses: tuple[float, ...], tasks: tuple[str, ...] = TASKS) -> Related:
    return Related(tasks, torch.tensor(gram, dtype=torch.float64), losses)


def test_means_by_hand() -> None:
    """Cosines -1/2 and 1; affinities of a onto b: -0.1 / 0.5 and 0.2 * 3 / 4, of b onto a -0.1 / 2 and none."""
    relations = Relations({})
    relations.add(seen([[4.0, -1.0], [-1.0, 1.0]], (2.0, 0.5)), rate=0.1)
    relations.add(seen([[9.0, 3.0], [3.0, 1.0]], (-1.0, 4.0)), rate=0.2)
    assert relations.cosines() == {"a": {"b": 0.25}}
    found = relations.document()
    assert found["pairs"] == {"a": {"b": {"cosine": 0.25, "conflicts": 0.5, "steps": 2}}}
    assert found["affinity"]["a"]["b"] == {"mean": pytest.approx((-0.2 + 0.15) / 2), "steps": 2}
    assert found["affinity"]["b"]["a"] == {"mean": pytest.approx(-0.05), "steps": 1}


def test_each_pair_has_its_own_count() -> None:
    relations = Relations({})
    relations.add(seen([[1.0, 0.5], [0.5, 1.0]], (1.0, 1.0), ("a", "c")), rate=1.0)
    relations.add(seen([[1.0, -0.5], [-0.5, 1.0]], (1.0, 1.0), ("b", "c")), rate=1.0)
    relations.add(seen([[1.0]], (1.0,), ("a",)), rate=1.0)
    pairs = relations.document()["pairs"]
    assert pairs == {
        "a": {"c": {"cosine": 0.5, "conflicts": 0.0, "steps": 1}},
        "b": {"c": {"cosine": -0.5, "conflicts": 1.0, "steps": 1}},
    }


def test_a_task_whose_loss_is_never_positive_has_no_affinity_onto_it() -> None:
    relations = Relations({})
    relations.add(seen([[1.0, 0.5], [0.5, 1.0]], (1.0, 0.0)), rate=1.0)
    found = relations.document()
    assert found["affinity"] == {"a": {}, "b": {"a": {"mean": 0.5, "steps": 1}}}
    assert found["pairs"]["a"]["b"]["steps"] == 1


def test_gradients_of_any_length_have_a_cosine() -> None:
    relations = Relations({})
    relations.add(seen([[1e-300, -1e-150], [-1e-150, 1.0]], (1.0, 1.0)), rate=1.0)
    assert relations.cosines()["a"]["b"] == pytest.approx(-1.0)


def test_the_log_shows_sixteen_tasks_and_no_more() -> None:
    for count in (16, 17):
        relations = Relations({})
        names = tuple(f"{number:02d}" for number in range(count))
        relations.add(Related(names, torch.eye(count).double(), (1.0,) * count), rate=1.0)
        assert bool(relations.cosines()) == (count == 16)
        assert len(relations.document()["pairs"]["00"]) == count - 1


def test_going_on_from_a_copy_is_going_on() -> None:
    """As a checkpoint does: the sums by themselves are the whole state."""
    import json

    one: Sums = {}
    halves: Sums = {}
    for step in range(6):
        matrix = torch.randn(2, 5, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        what = Related(TASKS, matrix @ matrix.T, (0.1 * step, 1.0))
        Relations(one).add(what, rate=0.3)
        halves = copy.deepcopy(json.loads(json.dumps(halves)))
        Relations(halves).add(what, rate=0.3)
    assert halves == one
    assert Relations(halves).document() == Relations(one).document()
