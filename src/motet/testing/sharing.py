"""What every way of sharing has to do. B rows, D width of the fused features, H of the shared ones."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from motet.sharing.base import Sharing, SharingSpec
from motet.testing import suite

TASKS = ("price", "sold", "tags")
WIDTH = 6


def check_sharing(spec: SharingSpec) -> None:
    """Run every check of the room on the modules of this Spec; `AssertionError` names what fails.

    >>> from motet.sharing import Hard
    >>> check_sharing(Hard(width=8))
    """
    suite.run(CHECKS, spec, name=f"sharing {spec.kind}")


def spec_survives_json(spec: SharingSpec) -> None:
    """The Spec written as JSON and read back is the same Spec."""
    suite.spec_survives_json(spec)


def widths_are_as_declared(spec: SharingSpec) -> None:
    """Each task gets features `[B, output_width]`."""
    sharing = build(spec)
    for task, features in _run(sharing, _features()).items():
        assert features.shape == (5, sharing.output_width), f"{task}: features are {tuple(features.shape)}"


def every_parameter_learns(spec: SharingSpec) -> None:
    """Every parameter gets a gradient that is not zero, from the tasks or a penalty."""
    sharing = build(spec)
    loss = suite.projected(list(_run(sharing, _features()).values()))
    suite.assert_all_learn(sharing, torch.stack([loss, *sharing.penalties().values()]).sum())


def nothing_learns_unseen(spec: SharingSpec) -> None:
    """Every tensor that learns is in `parameters()`."""
    suite.assert_none_hidden(build(spec))


def rows_are_alone(spec: SharingSpec) -> None:
    """A row gives the same without the others and among others in another order."""
    sharing = build(spec)
    together = _run(sharing, _features())
    for rows in [[0], [3], [4, 3, 2, 1, 0]]:
        for task, features in _run(sharing, _features()[rows]).items():
            suite.assert_close(features, together[task][rows], f"rows {rows} by themselves, {task}")


def the_order_of_tasks_does_not_matter(spec: SharingSpec) -> None:
    """Tasks named in another order, at building or running, change no bit."""
    straight = _run(build(spec), _features())
    turned = suite.seeded(lambda: spec.build(WIDTH, tasks=TASKS[::-1]))
    for task, features in _run(turned, _features(), tasks=TASKS[::-1]).items():
        suite.assert_same_bits(features, straight[task], f"tasks in reverse order, {task}")


def tasks_may_be_left_out(spec: SharingSpec) -> None:
    """`branch` answers for the tasks it is given, and for no other."""
    sharing = build(spec)
    found = _run(sharing, _features(), tasks=TASKS[1:])
    assert sorted(found) == sorted(TASKS[1:]), f"given {TASKS[1:]}, branch returned {tuple(found)}"


def penalties_are_finite_scalars(spec: SharingSpec) -> None:
    """Each regulariser is one finite number."""
    for name, penalty in build(spec).penalties().items():
        assert penalty.shape == (), f"penalty {name} has shape {tuple(penalty.shape)}"
        assert bool(penalty.isfinite()), f"penalty {name} is {float(penalty)}"


def gradients_are_right(spec: SharingSpec) -> None:
    """The gradient with respect to the features agrees with finite differences in float64."""
    sharing = build(spec).double()
    features = _features()[:2].double().requires_grad_()
    right = torch.autograd.gradcheck(lambda x: tuple(_run(sharing, x).values()), (features,), fast_mode=True)
    assert right, "the gradient is wrong"


def state_dict_is_all(spec: SharingSpec) -> None:
    """With the state of one, modules built under another seed answer the same."""
    other: Sharing = suite.seeded(lambda: spec.build(WIDTH, tasks=TASKS), seed=1)
    suite.assert_state_is_all(build(spec), other, lambda module: list(_run(module, _features()).values()))


CHECKS: tuple[Callable[[SharingSpec], None], ...] = (
    spec_survives_json,
    widths_are_as_declared,
    every_parameter_learns,
    nothing_learns_unseen,
    rows_are_alone,
    the_order_of_tasks_does_not_matter,
    tasks_may_be_left_out,
    penalties_are_finite_scalars,
    gradients_are_right,
    state_dict_is_all,
)


def build(spec: SharingSpec) -> Sharing:
    """The modules for the example's tasks, seeded, in evaluation mode."""
    sharing: Sharing = suite.seeded(lambda: spec.build(WIDTH, tasks=TASKS))
    return sharing


def _features() -> Tensor:
    return torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(0))


def _run(sharing: Sharing, features: Tensor, *, tasks: Sequence[str] = TASKS) -> dict[str, Tensor]:
    shared = sharing.trunk(features)
    return sharing.branch(dict.fromkeys(tasks, shared))
