"""The slow input is drawn to the prototypes of the classes, past the joint decision."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn

from motet.balance.base import ThrottleSpec
from motet.balance.prototypes import Prototypes, entropy
from motet.balance.singles import detached, mean_by_input, single_terms
from motet.balance.throttle import Throttle, TokensByInput, ValidLosses
from motet.balance.witness import Witness
from motet.core.errors import SpecError
from motet.nn.named import Named
from motet.nn.pooling import masked_mean

Said = Mapping[tuple[str, str], tuple[Float[Tensor, "B C"], Int64[Tensor, "B"], Bool[Tensor, "B"]]]
"""By input and task: log p of every class, the labels, and which rows count."""


class PMR(ThrottleSpec):
    """Prototypical modal rebalance: inputs slower than the best get a loss of their own, the best is kept uncertain.

    >>> throttle = PMR().build({"photo": 8, "review": 4}, tasks={"mood": 6, "price": None})
    >>> throttle.prototypes["photo"]["mood"].centres.shape
    torch.Size([6, 8])
    """

    kind: Literal["pmr"] = "pmr"
    paper: ClassVar[str] = "Fan et al., PMR: Prototypical Modal Rebalance for Multimodal Learning, CVPR 2023"
    alpha: float = Field(default=0.6, ge=0, description="The weight of the prototype loss of a slow input.")
    momentum: float = Field(
        default=0.5, ge=0, lt=1, description="How much of the former epochs a class prototype keeps at an epoch's end."
    )
    entropy: float = Field(
        default=0.01, ge=0, description="The weight by which the best input's prototype entropy is raised at first."
    )
    entropy_epochs: int = Field(default=5, ge=0, description="For how many epochs it is.")

    def build(self, input_widths: Mapping[str, int], *, tasks: Mapping[str, int | None]) -> "PMRThrottle":
        """Uses the tasks whose label is one of several classes; raises `SpecError` where there is none."""
        classes = {task: count for task, count in tasks.items() if count is not None}
        if not classes:
            raise SpecError(
                f"balance.modalities: pmr draws inputs to the prototypes of classes, and no task has classes (found "
                f"{', '.join(sorted(tasks))}); add a binary or multiclass task, or try mmpareto or ogm"
            )
        return PMRThrottle(
            input_widths,
            classes=classes,
            alpha=self.alpha,
            momentum=self.momentum,
            entropy=self.entropy,
            entropy_epochs=self.entropy_epochs,
        )


class PMRThrottle(Throttle):
    """Adds `alpha sum_m c_m L_m - mu c_slowest H_best` to the loss.

    Fan et al., CVPR 2023, equations 6 to 13. z_m is the mean token of input m, `p_m = softmax(-|z_m - prototypes|)`
    (`prototypes.py`), `L_m = -log p_m(label)`, and H_m the entropy of p_m. The score s_m of an input is the mean of
    p_m(label) over rows and tasks; `c_m = clip(s_best / s_m - 1, 0, 1)`, so the best input has no loss. H is raised for
    the best input alone, in the first `entropy_epochs` epochs; mu is `entropy`. For two inputs this is the paper's.

    Losses are per labelled row of the task, on the footing of its own (`Witness.scale`); tasks without classes take no
    part. Linear heads on the detached tokens learn beside and teach no encoder. Deviations: more than two inputs are
    each compared with the best, and the slowest says how strongly that one is held back; prototypes are means of the
    training rows as they passed in the epoch, with dropout, where the paper passes a tenth of the rows through the
    network again after each epoch, and in the first epoch of what came so far. The code sets c to 1 where the paper has
    equation 11, which is followed.

    `factors` are `1 + alpha c_m`. An input that no counted row of the batch has gets no loss and factor 1.
    """

    uses_singles = True

    def __init__(
        self,
        input_widths: Mapping[str, int],
        *,
        classes: Mapping[str, int],
        alpha: float = 0.6,
        momentum: float = 0.5,
        entropy: float = 0.01,
        entropy_epochs: int = 5,
    ) -> None:
        super().__init__()
        self.alpha, self.entropy, self.entropy_epochs = alpha, entropy, entropy_epochs
        self.tasks = sorted(classes)
        self.prototypes = Named(
            {
                name: Named(
                    {task: Prototypes(classes=classes[task], width=width, momentum=momentum) for task in self.tasks}
                )
                for name, width in input_widths.items()
            }
        )
        self.epoch: Tensor
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    def keep(
        self, present: Mapping[str, Bool[Tensor, "B"]], keys: Int64[Tensor, "B"]
    ) -> Mapping[str, Bool[Tensor, "B"]]:
        """All there is."""
        return present

    def forward(self, tokens: TokensByInput) -> tuple[TokensByInput, TokensByInput]:
        """The tokens, and what the heads read: detached."""
        return (tokens, detached(tokens)) if self.training else (tokens, tokens)

    def terms(self, witness: Witness) -> dict[str, Float[Tensor, ""]]:
        """The losses of the heads and of the prototypes; then the prototypes take the batch in."""
        said = self._said(witness)
        slowness = self._slowness(witness, said)
        self.factors = {name: 1 + self.alpha * slowness.get(name, 0.0) for name in sorted(witness.tokens)}
        terms, held_back = single_terms(witness), self._held_back(slowness)
        for (name, task), (log_probability, labels, counted) in said.items():
            if pull := self.alpha * slowness.get(name, 0.0):
                loss = -_of_label(log_probability, labels, counted).sum()
                terms[f"{task}/{name} prototypes"] = witness.scale[task] * pull * loss
            if name == held_back:
                spread = torch.where(counted, entropy(log_probability), 0.0).sum()
                push = self.entropy * max(slowness.values())
                terms[f"{task}/{name} entropy"] = -witness.scale[task] * push * spread
        return terms

    def after_backward(self, parameters: Mapping[str, Sequence[nn.Parameter]], *, key: int) -> None:
        """Nothing to do."""

    def epoch_end(self, valid: ValidLosses | None) -> None:
        """The prototypes settle."""
        for _, tasks in self.prototypes.items():
            for _, prototypes in tasks.items():
                prototypes.settle()
        self.epoch += 1

    def row_weights(self, present: Mapping[str, Bool[Tensor, "N"]]) -> Float[Tensor, "N"] | None:
        """Once an epoch each."""
        return None

    def _said(self, witness: Witness) -> Said:
        found = {}
        for name, one in sorted(witness.tokens.items()):
            pooled = masked_mean(one.values, one.mask)
            for task in self.tasks:
                if task in witness.targets:
                    target = witness.targets[task]
                    labels, rows = target.values["target"].long(), target.present & one.present
                    prototypes = self.prototypes[name][task]
                    log_probability, counted = prototypes(pooled, labels, rows)
                    found[name, task] = log_probability, labels.clamp(0, log_probability.shape[1] - 1), counted
                    prototypes.add(pooled, labels, rows)
        return found

    def _slowness(self, witness: Witness, said: Said) -> dict[str, float]:
        """c_m of each input that can be compared."""
        values: dict[str, dict[str, Tensor]] = {name: {} for name in witness.tokens}
        counted: dict[str, dict[str, Tensor]] = {name: {} for name in witness.tokens}
        for (name, task), (log_probability, labels, rows) in said.items():
            values[name][task] = _of_label(log_probability.detach(), labels, rows).exp()
            counted[name][task] = rows
        scores = mean_by_input(values, counted)
        best = max(scores.values(), default=0.0)
        return {name: min(best / score - 1, 1.0) if score > 0 else float(best > 0) for name, score in scores.items()}

    def _held_back(self, slowness: Mapping[str, float]) -> str | None:
        """The best input, while it is to be kept uncertain."""
        if int(self.epoch) >= self.entropy_epochs or not self.entropy or not any(slowness.values()):
            return None
        return min(slowness, key=lambda name: (slowness[name], name))


def _of_label(
    log_probability: Float[Tensor, "B C"], labels: Int64[Tensor, "B"], counted: Bool[Tensor, "B"]
) -> Float[Tensor, "B"]:
    """`log p(label)`, 0 where a row does not count."""
    return torch.where(counted, log_probability.gather(1, labels[:, None])[:, 0], 0.0)
