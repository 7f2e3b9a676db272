"""From the gradients that met to the weights of the tasks: what the balancer is shown, and what becomes of its answer.

K tasks that have a gradient.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from motet.balance.base import Balancer, Place, scaled
from motet.balance.gram import gram_matrix, gram_of_rows
from motet.balance.meeting import Meeting
from motet.core.together import Together


@dataclass(frozen=True, slots=True)
class Solved:
    """The weights by task, and the Gram matrix they came from, its rows in the order of `weights`."""

    weights: dict[str, float]
    gram: Float[Tensor, "K K"]


def solve(
    balancer: Balancer,
    meeting: Meeting,
    *,
    place: Place,
    factors: Mapping[str, float],
    priorities: Mapping[str, float],
    together: Together,
) -> Solved | None:
    """New weights for the tasks with a gradient; None if there is none, or one is not finite.

    `factors`, by task in the order of the meeting, are what the gradients that met were multiplied by: the balancer
    judges them without. `priorities` are the part of these that stays on.
    """
    rows = None
    # Only at the features are rows of different processes disjoint; elsewhere gradients add up before they meet.
    if balancer.needs == "rows" or (place != "features" and together.several):
        rows = together.summed(meeting.rows(place))
        gram = gram_of_rows(rows).cpu()
    else:
        gram = together.summed(meeting.gram(place))
    live = (gram.diagonal() > 0).nonzero().squeeze(1)
    names = [list(factors)[index] for index in live.tolist()]
    if not names or not bool(gram.isfinite().all()):
        return None
    divisors = torch.tensor([factors[name] for name in names], dtype=torch.float64)
    bare = gram[live][:, live] / torch.outer(divisors, divisors)
    shown = instead = combined = None
    if balancer.needs == "rows":
        assert rows is not None
        shown = rows[live.to(rows.device)] / divisors[:, None].to(rows)
        weights, instead = balancer.combine_rows(shown, names)
    else:
        weights = balancer.combine(bare, names)
    if place == "parameters" and instead is not None:
        combined = gram_matrix(list(instead)).cpu()
    weights = scaled(weights.to("cpu", torch.float64), bare, balancer.placement.scale, combined=combined)
    if combined is not None and instead is not None and shown is not None:
        kept = torch.tensor([priorities.get(name, 1.0) for name in names], dtype=torch.float64)
        change = (weights * kept)[None].to(shown) @ (instead - shown).to(shown)
        meeting.beside = change[0] / together.count  # every process has the same
    return Solved(dict(zip(names, weights.tolist(), strict=True)), bare)
