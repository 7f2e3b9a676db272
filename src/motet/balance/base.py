"""The contracts of the room: how much each task moves what is shared, and how fast each input learns.

K tasks, keyed by name. A balancer sees losses before backward (`weigh`), and, inside the one ordinary backward, what it
`needs` of the tasks' gradients at the junction: their Gram matrix, the gradients as rows, or each of their elements.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from motet.balance.throttle import Throttle
from motet.core.component import ComponentSpec
from motet.core.errors import SpecError

Needs = Literal["losses", "gram", "rows", "elements"]
Place = Literal["features", "layer", "parameters"]
Scale = Literal["paper", "count", "norm"]
Heads = Literal["raw", "weighted"]

PLACES: dict[Needs, tuple[Place, ...]] = {
    "losses": (),
    "gram": ("features", "layer", "parameters"),
    "rows": ("layer", "parameters"),
    "elements": ("features",),
}
"""Where each kind of method can look, the default first. An average of gradients means nothing where every step has
other rows, so what keeps one never looks at the features.
"""


@dataclass(frozen=True, slots=True)
class Placement:
    """How the junction uses a balancer: where it looks, how often, how long the update is, what the heads see."""

    at: Place | Literal["auto"] = "auto"
    every: int = 1
    scale: Scale = "paper"
    heads: Heads = "raw"


class Balancer(nn.Module, ABC):
    """One balancing method. All state that matters is in `state_dict`, keyed by task name.

    A method overrides `weigh`, or the one `combine` that goes with what it `needs`. Chance is a function of the state
    and a seed, so that a resumed run and every process draw the same.
    """

    needs: ClassVar[Needs] = "losses"
    looks_again: ClassVar[bool] = False
    """Whether `after_step` wants the losses of the same rows once more, after the step: a second forward pass."""
    unit_matters: ClassVar[bool] = False
    """Whether all losses in another unit, ten times as large, are balanced differently."""
    placement: Placement = Placement()

    @property
    def uses_gradients(self) -> bool:
        """Whether the junction needs a node in the graph."""
        return self.needs != "losses"

    def weigh(self, losses: Mapping[str, Float[Tensor, ""]]) -> dict[str, Float[Tensor, ""]]:
        """The terms whose sum is differentiated, one per task given (those labelled and finite in this step).

        Called once per batch; a step of several batches calls it several times.
        """
        return dict(losses)

    def combine(self, gram: Float[Tensor, "K K"], tasks: Sequence[str]) -> Float[Tensor, "K"]:
        """Weights for the tasks' gradients from their float64 Gram matrix on the CPU, rows in the order of `tasks`.

        Tasks whose gradient is zero or missing in this step have no row; there is at least one row.
        """
        raise NotImplementedError(f"{type(self).__name__} does not look at the Gram matrix")

    def combine_rows(
        self, rows: Float[Tensor, "K N"], tasks: Sequence[str]
    ) -> tuple[Float[Tensor, "K"], Float[Tensor, "K N"] | None]:
        """Weights from the gradients themselves, as float64 rows, and what stands for the rows in the update.

        That is for instance their running average; None: the rows themselves. Only where the rows are the gradients of
        parameters (`at: parameters`) can it be put in their place; elsewhere the weights alone count.
        """
        raise NotImplementedError(f"{type(self).__name__} does not look at rows")

    def combine_elements(
        self, gradients: Float[Tensor, "K B *H"], tasks: Sequence[str], chance: Float[Tensor, "B *H"]
    ) -> Float[Tensor, "K B *H"]:
        """A weight for every element of every task's gradient; `chance` is uniform in [0, 1), keyed by row."""
        raise NotImplementedError(f"{type(self).__name__} does not look at elements")

    def after_step(self, losses: Mapping[str, float], again: Mapping[str, float] | None = None) -> None:
        """Called once after each optimiser step with the step's losses, and those after it if it `looks_again`."""

    def epoch_end(self, losses: Mapping[str, float], gains: Mapping[str, float] | None = None) -> None:
        """Called once after each epoch with the epoch's mean losses.

        `gains` say how much of the way from the trivial baseline to a perfect score each task has come on the
        validation rows, at most 1; None where nothing is validated.
        """


class BalancerSpec(ComponentSpec, ABC):
    """What every way of balancing tasks has in common."""

    @abstractmethod
    def build(self, tasks: Sequence[str], *, seed: int = 0) -> Balancer:
        """The balancer for these tasks; `seed` is what chance depends on."""

    def resolved(self, *, apart: bool, fans_out: bool = True) -> Self:
        """Without "auto"; `apart`: most rows have the label of one task only; `fans_out` as in `Sharing`."""
        return self


class GradientSpec(BalancerSpec, ABC):
    """What every method that looks at gradients has in common."""

    at: Literal["auto", "features", "layer", "parameters"] = Field(
        default="auto",
        description="Where gradients are compared. features: at what the tasks share, row by row; layer: the gradient "
        "of a gain and a bias per shared feature, which tasks with labels in different rows have in common too; "
        "parameters: of all shared parameters, at a pass back per task. auto: features, or layer where most rows have "
        "one label or the method keeps averages, or parameters where the way of sharing leaves no other.",
    )
    every: int = Field(
        default=1,
        ge=1,
        description="Find new weights every so many batches, and keep them between; means of cosines take in those "
        "only. 1 for a method that adds up the gradients themselves: it needs those of every batch.",
    )
    scale: Scale = Field(
        default="paper",
        description="Size of the update. paper: as published; count: weights add up to the number of tasks, so that "
        "equal weights are the plain sum; norm: the update is as long as the plain sum.",
    )
    heads: Heads = Field(
        default="raw",
        description="raw: each head learns from its own loss; weighted: from its loss times the weight of the step "
        "before.",
    )

    needs: ClassVar[Needs] = "gram"
    """As that of the module: it says where the method can look."""

    @abstractmethod
    def module(self, tasks: Sequence[str], *, seed: int) -> Balancer:
        """The method alone."""

    def build(self, tasks: Sequence[str], *, seed: int = 0) -> Balancer:
        """The method, and where the junction uses it. Raises `SpecError` where it can not look there, or so seldom."""
        places = PLACES[self.needs]
        if self.at != "auto" and self.at not in places:
            raise SpecError(
                f"balance.tasks.at: {self.kind} can not compare gradients at {self.at!r}; use auto or "
                f"{' or '.join(places)}"
            )
        if self.every > 1 and self.needs == "rows":
            # In the batches between, weights found for averages would go to plain gradients, and no average would move.
            raise SpecError(
                f"balance.tasks.every: {self.kind} adds up the gradients of every batch, and can not leave out "
                f"{self.every - 1} of {self.every}; leave it at 1"
            )
        balancer = self.module(tasks, seed=seed)
        balancer.placement = Placement(at=self.at, every=self.every, scale=self.scale, heads=self.heads)
        return balancer

    def resolved(self, *, apart: bool, fans_out: bool = True) -> Self:
        """`at` without "auto"."""
        if self.at != "auto":
            return self
        places = PLACES[self.needs]
        wanted = "layer" if apart and fans_out else "features" if fans_out else "parameters"
        return self.model_copy(update={"at": wanted if wanted in places else places[0]})


class ThrottleSpec(ComponentSpec, ABC):
    """What every way of balancing inputs has in common."""

    @abstractmethod
    def build(self, input_widths: Mapping[str, int], *, tasks: Mapping[str, int | None]) -> Throttle:
        """The throttle for inputs of these widths; `tasks` says of each how many classes its label is one of, if it is.

        Raises `SpecError` where the method is not defined for these inputs and tasks.
        """


def scaled(
    weights: Float[Tensor, "K"],
    gram: Float[Tensor, "K K"],
    scale: Scale,
    *,
    combined: Float[Tensor, "K K"] | None = None,
) -> Float[Tensor, "K"]:
    """The weights times one number, so that the update has the size `scale` speaks of.

    `gram` is that of the gradients, `combined` that of what is combined, where it stands for them. Weights that add up
    to nothing, and updates of length zero, stay as they are.

    >>> import torch
    >>> scaled(torch.tensor([0.2, 0.8]).double(), torch.eye(2).double(), "count").tolist()
    [0.4, 1.6]
    """
    if scale == "count":
        total = float(weights.sum())
        return weights * (len(weights) / total) if total > 0 else weights
    if scale == "norm":
        length, wanted = float(weights @ (gram if combined is None else combined) @ weights), float(gram.sum())
        return weights * (wanted / length) ** 0.5 if length > 0 and wanted > 0 else weights
    return weights
