"""What the suites have in common: named checks, and what several of them ask of a module."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from motet.core.component import ComponentSpec

Subject = TypeVar("Subject")
AnyModule = TypeVar("AnyModule", bound=nn.Module)

TOLERANCE = 1e-5


def run(checks: Sequence[Callable[[Subject], None]], subject: Subject, *, name: str) -> None:
    """Run every check; `AssertionError` with the names of those that fail, and why."""
    failed = failures(checks, subject)
    if failed:
        raise AssertionError("\n".join(f"{name}: {check}: {reason}" for check, reason in failed.items()))


def failures(checks: Sequence[Callable[[Subject], None]], subject: Subject) -> dict[str, str]:
    """The checks that fail, by name, with the reason. A check also fails by any other exception."""
    failed = {}
    for check in checks:
        try:
            check(subject)
        except Exception as error:
            failed[check.__name__] = str(error) or f"{type(error).__name__} was raised"
    return failed


def spec_survives_json(spec: ComponentSpec) -> None:
    """The Spec written as JSON and read back is the same Spec."""
    again = type(spec).model_validate_json(spec.model_dump_json())
    assert again == spec, f"{spec!r} comes back from JSON as {again!r}"


def seeded(build: Callable[[], Any], seed: int = 0) -> Any:
    """What `build` makes under this seed, without a trace in the global random state; modules in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = build()
    return made.eval() if isinstance(made, nn.Module) else made


def assert_close(found: Tensor, expected: Tensor, what: str) -> None:
    """Equal within 1e-5 relative to max(1, |expected|)."""
    assert found.shape == expected.shape, f"{what}: shape {tuple(found.shape)} instead of {tuple(expected.shape)}"
    error = ((found - expected).abs() / expected.abs().clamp(min=1)).amax() if found.numel() else torch.zeros(())
    assert error <= TOLERANCE, f"{what}: differs by {float(error):.2g}"


def assert_same_bits(found: Tensor, expected: Tensor, what: str) -> None:
    """Equal bit for bit, NaN nowhere."""
    assert torch.equal(found, expected), f"{what}: not the same, bit for bit"


def assert_all_learn(module: nn.Module, loss: Tensor) -> None:
    """Every parameter gets a gradient from the loss that is not zero everywhere."""
    module.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, f"{name} gets no gradient"
        assert bool((parameter.grad != 0).any()), f"the gradient of {name} is zero"
        assert bool(parameter.grad.isfinite().all()), f"the gradient of {name} is not finite"


def assert_none_hidden(module: nn.Module) -> None:
    """No tensor that requires a gradient is kept where `parameters()` does not find it."""
    known = {id(parameter) for parameter in module.parameters()}
    for name, child in module.named_modules():
        for attribute, value in vars(child).items():
            for tensor in _tensors(value) if attribute not in ("_parameters", "_modules", "_buffers") else ():
                hidden = tensor.requires_grad and tensor.is_leaf and id(tensor) not in known
                assert not hidden, f"{name + '.' if name else ''}{attribute} learns but is not in parameters()"


def assert_state_is_all(first: AnyModule, second: AnyModule, answer: Callable[[AnyModule], Sequence[Tensor]]) -> None:
    """With the `state_dict` of `first`, `second`, built under another seed, answers the same."""
    second.load_state_dict(first.state_dict())
    for found, expected in zip(answer(second), answer(first), strict=True):
        assert_same_bits(found, expected, "a module with the same state_dict")


def projected(outputs: Sequence[Tensor]) -> Tensor:
    """A scalar in which every number of the outputs has a weight of its own, about 1 in size."""
    generator = torch.Generator().manual_seed(1)
    parts = [(output * torch.randn(output.shape, generator=generator).to(output)).sum() for output in outputs]
    return torch.stack(parts).sum()


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _tensors(item)
