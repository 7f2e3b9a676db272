"""What every balancing method between tasks has to do."""

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from motet.balance.base import Balancer, BalancerSpec
from motet.balance.junction import Junction
from motet.testing import suite

TASKS = ("price", "sold", "tags", "text")


def check_balancer(spec: BalancerSpec) -> None:
    """Run every check of the room on the method of this Spec; `AssertionError` names what fails.

    >>> from motet.balance import MGDA
    >>> check_balancer(MGDA())
    """
    suite.run(CHECKS, spec, name=f"balancer {spec.kind}")


def spec_survives_json(spec: BalancerSpec) -> None:
    """The Spec written as JSON and read back is the same Spec."""
    suite.spec_survives_json(spec)


def tasks_go_by_name(spec: BalancerSpec) -> None:
    """Tasks in another order get the same weights."""
    straight = _weights(build(spec), _losses(), _gradients())
    turned = _weights(build(spec, TASKS[::-1]), dict(reversed(_losses().items())), _gradients(), TASKS[::-1])
    for task in TASKS:
        suite.assert_close(turned[task], straight[task], f"the weight of {task!r} with tasks in reverse order")


def tasks_may_be_left_out(spec: BalancerSpec) -> None:
    """`weigh` and `combine` answer for the tasks they are given."""
    balancer, tasks = build(spec), ("text", "sold")
    terms = balancer.weigh({task: _losses()[task] for task in tasks})
    assert sorted(terms) == sorted(tasks), f"given losses of {tasks}, weigh returned {tuple(terms)}"
    weights = balancer.combine(_gram(_gradients(), tasks), tasks)
    assert weights.shape == (2,), f"given 2 tasks, combine returned {tuple(weights.shape)}"


def the_shared_gradient_is_the_weighted_sum(spec: BalancerSpec) -> None:
    """Through a junction, in one backward: K separate gradients, weighted by `weigh` and `combine`, and added."""
    balancer, gradients = build(spec), _gradients()
    weights = _weights(copy.deepcopy(balancer), _losses(), gradients)
    z = torch.zeros(gradients["price"].shape, dtype=torch.float64, requires_grad=True)
    copies = Junction(balancer, tasks=TASKS)
    parted = copies(z)
    losses = {task: (parted[task] * gradients[task]).sum() + _losses()[task].detach() for task in TASKS}
    copies.total(losses).backward()  # type: ignore[no-untyped-call]
    expected = sum(weights[task] * gradients[task] for task in TASKS)
    assert z.grad is not None, "nothing reaches the shared features"
    suite.assert_close(z.grad, torch.as_tensor(expected), "the gradient of the shared features")


def agreeing_tasks_all_gain(spec: BalancerSpec) -> None:
    """Where no two gradients conflict, a step along the update lowers every loss."""
    gradients = {task: gradient.abs() for task, gradient in _gradients().items()}
    weights = _weights(build(spec), _losses(), gradients)
    update = sum(weights[task] * gradients[task] for task in TASKS)
    for task in TASKS:
        assert float((torch.as_tensor(update) * gradients[task]).sum()) > 0, f"{task!r} would get worse"


def opposed_equal_and_lone_tasks_are_finite(spec: BalancerSpec) -> None:
    """Gradients that cancel or coincide, at very different sizes, and one alone, get finite weights."""
    g = _gradients()["price"]
    cases: list[dict[str, Tensor]] = [
        {"price": g, "sold": -g},
        {"price": g, "sold": g},
        {"price": g, "sold": -1e6 * g, "tags": 1e-6 * g},
        {"text": g},
    ]
    for gradients in cases:
        tasks = tuple(gradients)
        weights = build(spec).combine(_gram(gradients, tasks), tasks)
        assert bool(weights.isfinite().all()), f"{len(tasks)} tasks get weights {weights.tolist()}"


def the_unit_of_the_losses_does_not_matter(spec: BalancerSpec) -> None:
    """All losses and gradients times 10: the weights keep their proportions."""
    gradients = _gradients()
    larger = {task: 10 * gradient for task, gradient in gradients.items()}
    once = torch.stack(list(_weights(build(spec), _losses(), gradients).values()))
    again = torch.stack(list(_weights(build(spec), _losses(scale=10.0), larger).values()))
    suite.assert_close(again / again.sum(), once / once.sum(), "the proportions of the weights")


def every_parameter_learns(spec: BalancerSpec) -> None:
    """Every parameter gets a gradient from the weighed losses."""
    balancer = build(spec)
    terms = balancer.weigh(_losses())
    suite.assert_all_learn(balancer, torch.stack(list(terms.values())).sum())


def nothing_learns_unseen(spec: BalancerSpec) -> None:
    """Every tensor that learns is in `parameters()`."""
    suite.assert_none_hidden(build(spec))


def state_dict_is_all(spec: BalancerSpec) -> None:
    """After some steps, a method that takes over the state, with tasks in another order, gives the same weights."""
    first = build(spec)
    for step in range(4):
        _weights(first, _losses(seed=step), _gradients(seed=step))
        first.after_step({task: len(task) / (step + 1) for task in TASKS})
        first.epoch_end({task: len(task) / (step + 2) for task in TASKS})
    second = build(spec, TASKS[::-1])
    second.load_state_dict(first.state_dict())
    expected, found = (_weights(b, _losses(), _gradients()) for b in (first, second))
    for task in TASKS:
        suite.assert_close(found[task], expected[task], f"the weight of {task!r} after loading a state_dict")


CHECKS: tuple[Callable[[BalancerSpec], None], ...] = (
    spec_survives_json,
    tasks_go_by_name,
    tasks_may_be_left_out,
    the_shared_gradient_is_the_weighted_sum,
    agreeing_tasks_all_gain,
    opposed_equal_and_lone_tasks_are_finite,
    the_unit_of_the_losses_does_not_matter,
    every_parameter_learns,
    nothing_learns_unseen,
    state_dict_is_all,
)


def build(spec: BalancerSpec, tasks: Sequence[str] = TASKS) -> Balancer:
    """The method for the example's tasks, seeded."""
    balancer: Balancer = suite.seeded(lambda: spec.build(tasks))
    return balancer


def _weights(
    balancer: Balancer, losses: Mapping[str, Tensor], gradients: Mapping[str, Tensor], tasks: Sequence[str] = TASKS
) -> dict[str, Tensor]:
    """What each task's own gradient is multiplied with: by `weigh`, then by `combine` on what comes of that."""
    terms = balancer.weigh(losses)
    slopes = torch.autograd.grad(torch.stack(list(terms.values())).sum(), [losses[task] for task in tasks])
    factors = dict(zip(tasks, (slope.detach().double() for slope in slopes), strict=True))
    weighed = {task: factors[task] * gradients[task] for task in tasks}
    combined = balancer.combine(_gram(weighed, tasks), tasks)
    return {task: factors[task] * weight for task, weight in zip(tasks, combined, strict=True)}


def _losses(*, seed: int = 0, scale: float = 1.0) -> dict[str, Tensor]:
    values = scale * (0.5 + torch.rand(len(TASKS), generator=torch.Generator().manual_seed(seed)))
    return {task: value.clone().requires_grad_() for task, value in zip(TASKS, values, strict=True)}


def _gradients(*, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(100 + seed)
    return {task: torch.randn(3, 5, generator=generator, dtype=torch.float64) for task in TASKS}


def _gram(gradients: Mapping[str, Tensor], tasks: Sequence[str]) -> Tensor:
    rows = torch.stack([gradients[task].reshape(-1) for task in tasks])
    return rows @ rows.T
