"""What a training step knows of each input before its backward. B rows of a batch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from motet.core.flow import Cells, Tokens

ByTask = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Witness:
    """What the single-input heads say, and what the whole model would say of some inputs alone.

    losses[input][task] is the loss of each row `[B]` under the head that sees this input only, with its graph, exactly
    0 where not counted; counted[input][task] are the rows `[B]` that have both the input and a label. joint[task] is
    the loss of each row of the joint decision, labelled[task] its rows with a label. scale[task] is what a row's loss
    weighs in the step's total: the slope of the total with respect to the task's mean loss, divided by its labels. In
    it are priorities and the loss weights of a balancer, not what a balancer makes of gradients; so
    `scale * losses.sum()` is on the footing of the task's own loss. A task that is left out of the step has none.
    alone(names) gives {task: loss of each row} of the decision from these inputs only, without a graph; the rows that
    have none of them answer the prior.
    """

    tokens: Mapping[str, Tokens]
    targets: Mapping[str, Cells]
    losses: Mapping[str, ByTask]
    counted: Mapping[str, Mapping[str, Bool[Tensor, "B"]]]
    joint: Mapping[str, Float[Tensor, "B"]]
    labelled: Mapping[str, Bool[Tensor, "B"]]
    scale: Mapping[str, float]
    alone: Callable[[frozenset[str]], ByTask]
