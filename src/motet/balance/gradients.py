"""Nodes of the graph that are the identity forward and change what comes back to an input's tokens.

B rows, T tokens, D width. Only the rows that have the input are touched: in the others the gradient is that of the
learned absent token, which is no encoder's business.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from motet.balance.throttle import Throttle, TokensByInput
from motet.core.flow import Tokens

Combine = Callable[[str, Float[Tensor, "B T D"] | None, Float[Tensor, "B T D"] | None], Float[Tensor, "B T D"]]
"""An input's name, its gradient of the joint losses and that of its single-input losses (None: there is none), both 0
in rows without the input -> what its encoder gets."""


def scaled(tokens: TokensByInput, throttle: Throttle) -> dict[str, Tokens]:
    """The tokens; on the way back each input's gradient is multiplied by its entry in `throttle.factors`, 1 if none.

    The factor is looked up when the gradient arrives, so it may be found after the forward pass. Everything before the
    tokens is linear in the gradient: the encoder's whole gradient is scaled by the same number.
    """
    return {
        name: replace(one, values=_apply(_Scale, one.values, one.present, throttle, name)) if _live(one) else one
        for name, one in sorted(tokens.items())
    }


def met(tokens: TokensByInput, combine: Combine) -> tuple[dict[str, Tokens], dict[str, Tokens]]:
    """The tokens twice, for the joint decision and for the single-input heads; on the way back `combine` joins both
    gradients, which one ordinary backward hands over together.
    """
    joint, single = {}, {}
    for name, one in sorted(tokens.items()):
        copies = _apply(_Meet, one.values, one.present, combine, name) if _live(one) else (one.values, one.values)
        joint[name], single[name] = (replace(one, values=values) for values in copies)
    return joint, single


def _live(tokens: Tokens) -> bool:
    return torch.is_grad_enabled() and tokens.values.requires_grad


def _apply(node: type[torch.autograd.Function], *arguments: Any) -> Any:
    """The compiler can not follow a node of our own: it stops before it and goes on behind it."""
    return torch.compiler.disable(node.apply)(*arguments) if torch.compiler.is_compiling() else node.apply(*arguments)  # type: ignore[no-untyped-call]


class _Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, present: Tensor, throttle: Throttle, name: str) -> Tensor:
        ctx.throttle, ctx.name = throttle, name
        ctx.save_for_backward(present)
        return values.view_as(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        factor = ctx.throttle.factors.get(ctx.name, 1.0)
        if factor == 1:
            return gradient, None, None, None
        (present,) = ctx.saved_tensors
        return torch.where(present[:, None, None], gradient * factor, gradient), None, None, None


class _Meet(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, present: Tensor, combine: Combine, name: str) -> tuple[Tensor, Tensor]:
        ctx.combine, ctx.name = combine, name
        ctx.save_for_backward(present)
        ctx.set_materialize_grads(False)
        return values.view_as(values), values.view_as(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        given = [gradient for gradient in gradients if gradient is not None]
        if not given:
            return None, None, None, None
        here = ctx.saved_tensors[0][:, None, None]
        shown = [None if gradient is None else torch.where(here, gradient, 0.0) for gradient in gradients]
        plain = given[0] if len(given) == 1 else given[0] + given[1]
        return torch.where(here, ctx.combine(ctx.name, *shown), plain), None, None, None
