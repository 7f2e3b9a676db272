"""A small network to try throttles on: an encoder per input, a joint decision, and single-input heads.

B rows, T tokens, D width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motet.balance import Throttle, ThrottleSpec, Witness
from motet.core.flow import Cells, Tokens
from motet.nn.named import Named
from motet.nn.pooling import hide, masked_mean
from motet.testing import suite

WIDTHS = {"age": 3, "photo": 6, "review": 4}
LENGTHS = {"age": 1, "photo": 4, "review": 5}
TASKS: dict[str, int | None] = {"mood": 3, "price": None}
NUM_ROWS = 24


@dataclass(frozen=True)
class Rows:
    """What a batch holds of each input, before encoding, and its labels."""

    tokens: Mapping[str, Tokens]
    targets: Mapping[str, Cells]

    def turned(self) -> "Rows":
        """The same, inputs named in reverse order."""
        return Rows(dict(reversed(list(self.tokens.items()))), self.targets)

    def only(self, names: Sequence[str]) -> "Rows":
        """These inputs alone; the others are not there at all."""
        return Rows({name: self.tokens[name] for name in names}, self.targets)

    def without(self, *names: str) -> "Rows":
        """These inputs absent from every row."""
        return Rows(hidden(self.tokens, names), self.targets)


@dataclass(frozen=True)
class Seen:
    """What a step left behind: the gradients of encoders and single-input heads, the terms and the factors."""

    encoders: Mapping[str, list[Tensor | None]]
    heads: Mapping[tuple[str, str], Tensor | None]
    terms: Mapping[str, Tensor]
    factors: Mapping[str, float]

    def numbers(self) -> list[Tensor]:
        """All of it, in the order of names; what is missing is left out."""
        gradients = [grad for name in sorted(self.encoders) for grad in self.encoders[name] if grad is not None]
        heads = [grad for pair in sorted(self.heads) if (grad := self.heads[pair]) is not None]
        factors = torch.tensor([self.factors[name] for name in sorted(self.factors)])
        return [*gradients, *heads, *(self.terms[name] for name in sorted(self.terms)), factors]


class Bench(nn.Module):
    """Linear encoders, and linear heads on mean tokens; where everything is absent the decision is 0."""

    def __init__(self, names: Sequence[str] = tuple(WIDTHS)) -> None:
        super().__init__()
        self.encoders = Named({name: nn.Linear(WIDTHS[name], WIDTHS[name]) for name in sorted(names)})
        self.joint = Named({name: _heads(WIDTHS[name]) for name in sorted(names)})
        self.singles = Named({name: _heads(WIDTHS[name]) for name in sorted(names)})

    def encode(self, rows: Rows) -> dict[str, Tokens]:
        """Absent rows keep what they hold."""
        found = {}
        for name, one in rows.tokens.items():
            encoded = self.encoders[name](hide(one.values, one.mask))
            real = one.present[:, None] & one.mask
            found[name] = Tokens(torch.where(real[:, :, None], encoded, one.values), one.mask, one.present)
        return found

    def step(self, throttle: Throttle, rows: Rows, *, key: int = 0) -> Seen:
        """One backward, as the training step makes it; the gradients are read, no weight moves."""
        self.zero_grad()
        witness, loss = self.witness(throttle, rows)
        terms = throttle.terms(witness)
        sum(terms.values(), start=loss).backward()  # type: ignore[no-untyped-call]
        parameters = {name: list(self.encoders[name].parameters()) for name in rows.tokens}
        throttle.after_backward(parameters, key=key)
        return Seen(
            {name: [_copy(one.grad) for one in own] for name, own in parameters.items()},
            {(name, task): _copy(self.singles[name][task].weight.grad) for name in rows.tokens for task in TASKS},
            {name: term.detach().clone() for name, term in terms.items()},
            dict(throttle.factors),
        )

    def witness(self, throttle: Throttle, rows: Rows) -> tuple[Witness, Tensor]:
        """What the throttle is told, and the joint loss, behind its forward pass."""
        tokens = self.encode(rows)
        throttled, alone = throttle(tokens)
        labelled = {task: cells for task, cells in rows.targets.items() if bool(cells.present.any())}
        joint = {task: _losses(task, self._decide(throttled, task), cells) for task, cells in labelled.items()}
        scale = {task: 1.0 / int(cells.present.sum()) for task, cells in labelled.items()}
        counted = {
            name: {task: cells.present & one.present for task, cells in labelled.items()}
            for name, one in tokens.items()
        }
        singles = {
            name: {
                task: _losses(task, self.singles[name][task](_pooled(one)), Cells(cells.values, counted[name][task]))
                for task, cells in labelled.items()
            }
            for name, one in alone.items()
        }

        @torch.no_grad()
        def by_themselves(names: frozenset[str]) -> dict[str, Tensor]:
            seen = hidden(tokens, [name for name in tokens if name not in names])
            return {task: _losses(task, self._decide(seen, task), cells) for task, cells in labelled.items()}

        told = Witness(
            tokens=tokens,
            targets=labelled,
            losses=singles,
            counted=counted,
            joint={task: rows.detach() for task, rows in joint.items()},
            labelled={task: cells.present for task, cells in labelled.items()},
            scale=scale,
            alone=by_themselves,
        )
        return told, sum((scale[task] * joint[task].sum() for task in joint), start=_nothing())

    def _decide(self, tokens: Mapping[str, Tokens], task: str) -> Tensor:
        parts = [
            torch.where(tokens[name].present[:, None], self.joint[name][task](_pooled(tokens[name])), 0.0)
            for name in sorted(tokens)
        ]
        return torch.stack(parts).sum(dim=0)


def some_rows(*, seed: int = 0) -> Rows:
    """Rows with about three quarters of their inputs and labels; the first have all."""
    chance = torch.Generator().manual_seed(seed)

    def there() -> Tensor:
        return (torch.rand(NUM_ROWS, generator=chance) < 0.75) | (torch.arange(NUM_ROWS) < 6)

    tokens = {}
    for name, width in WIDTHS.items():
        present, length = there(), LENGTHS[name]
        sizes = torch.where(present, torch.randint(1, length + 1, (NUM_ROWS,), generator=chance), 1)
        mask = torch.arange(length) < sizes[:, None]
        tokens[name] = Tokens(hide(torch.randn(NUM_ROWS, length, width, generator=chance), mask), mask, present)
    mood, price = torch.randint(3, (NUM_ROWS,), generator=chance), torch.randn(NUM_ROWS, generator=chance)
    return Rows(tokens, {"mood": Cells({"target": mood}, there()), "price": Cells({"target": price}, there())})


def hidden(tokens: Mapping[str, Tokens], names: Sequence[str]) -> dict[str, Tokens]:
    """The same with these inputs absent from every row."""
    return {name: _absent(one) if name in names else one for name, one in tokens.items()}


def build(spec: ThrottleSpec, names: Sequence[str] = tuple(WIDTHS)) -> Throttle:
    """The throttle for the example's inputs and tasks, in training mode."""
    throttle: Throttle = suite.seeded(lambda: spec.build({name: WIDTHS[name] for name in names}, tasks=TASKS))
    return throttle.train()


def bench(names: Sequence[str] = tuple(WIDTHS)) -> Bench:
    """The network, seeded."""
    made: Bench = suite.seeded(lambda: Bench(names))
    return made


def practised(spec: ThrottleSpec, names: Sequence[str] = tuple(WIDTHS)) -> Throttle:
    """The throttle after six epochs of two steps, and one step into the seventh."""
    throttle, network = build(spec, names), bench()
    for epoch in range(6):
        for step in range(2):
            network.step(throttle, some_rows(seed=2 * epoch + step), key=step)
        throttle.epoch_end(validated(epoch))
    network.step(throttle, some_rows(seed=20), key=20)
    return throttle


def validated(epoch: int) -> dict[str, dict[str, float]]:
    """Losses on validation rows that fall, each at its own pace."""
    pace = {"": 0.5, "age": 0.1, "photo": 0.4, "review": 0.2}
    return {name: dict.fromkeys(TASKS, 1.0 / (1.0 + each * epoch)) for name, each in pace.items()}


def _nothing() -> Tensor:
    """A zero that moves nothing."""
    return torch.zeros((), requires_grad=True)


def _heads(width: int) -> "Named[nn.Linear]":
    return Named({task: nn.Linear(width, classes or 1) for task, classes in TASKS.items()})


def _pooled(tokens: Tokens) -> Tensor:
    return masked_mean(tokens.values, tokens.mask)


def _losses(task: str, output: Tensor, cells: Cells) -> Tensor:
    target = cells.values["target"]
    if TASKS[task] is None:
        rows = (output[:, 0] - target).square()
    else:
        rows = F.cross_entropy(output, target, reduction="none")
    return torch.where(cells.present, rows, 0.0)


def _absent(tokens: Tokens) -> Tokens:
    first = torch.arange(tokens.mask.shape[1]) == 0
    values = torch.where(first[:, None], 0.1, torch.zeros_like(tokens.values))
    return Tokens(values, first.expand_as(tokens.mask), torch.zeros_like(tokens.present))


def _copy(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.clone()
