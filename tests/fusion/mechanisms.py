"""Whether an operator learns what it is made for: trained on Tokens alone, without encoders, beside another operator.

`make_rows(num_rows, generator)` draws a table, `(tokens, labels)`; labels count from 0. The network is operator ->
GELU trunk -> linear head, the same trunk, rows and steps of Adam for whatever is compared; the absent token of each
input is learned, as in the whole model. One thread, about 1 ms a step.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motet.core.flow import Tokens
from motet.fusion import FusionSpec
from motet.fusion.base import Grids
from motet.nn import MLP
from motet.nn.named import Named

Rows = tuple[dict[str, Tokens], Tensor]
MakeRows = Callable[[int, torch.Generator], Rows]
BATCH = 128


def accuracy(
    spec: FusionSpec,
    make_rows: MakeRows,
    *,
    seed: int,
    steps: int = 400,
    width: int = 16,
    num_rows: int = 4000,
    learning_rate: float = 0.01,
    grids: Grids | None = None,
) -> float:
    """The share of 2000 other rows that is right after training on `num_rows`; `width` is that of the trunk."""
    generator = torch.Generator().manual_seed(seed)
    tokens, labels = make_rows(num_rows, generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _Network(spec, tokens, grids=grids, width=width, num_classes=int(labels.max()) + 1)
        optimizer = torch.optim.Adam(model.parameters(), learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            some = torch.randint(num_rows, (BATCH,), generator=generator)
            loss = F.cross_entropy(model(of_rows(tokens, some)), labels[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    tokens, labels = make_rows(2000, generator)
    with torch.no_grad():
        return (model.eval()(tokens).argmax(dim=1) == labels).float().mean().item()


def vectors(present: Tensor | None = None, /, **values: Tensor) -> dict[str, Tokens]:
    """Inputs of one token, from `[B, D]` each; `present [B, M]`, in sorted order of names, where some are absent.

    An absent input's content is 0, as from an absent token that has not learned.
    """
    found = {}
    for column, (name, value) in enumerate(sorted(values.items())):
        there = torch.ones(len(value), dtype=torch.bool) if present is None else present[:, column]
        one = torch.where(there[:, None], value, 0.0)[:, None]
        found[name] = Tokens(one, torch.ones(len(value), 1, dtype=torch.bool), there)
    return found


def of_rows(tokens: dict[str, Tokens], rows: Tensor) -> dict[str, Tokens]:
    return {name: Tokens(one.values[rows], one.mask[rows], one.present[rows]) for name, one in tokens.items()}


class _Network(nn.Module):
    def __init__(
        self, spec: FusionSpec, tokens: dict[str, Tokens], *, grids: Grids | None, width: int, num_classes: int
    ) -> None:
        super().__init__()
        widths = {name: one.values.shape[2] for name, one in tokens.items()}
        self.absent = Named({name: _Absent(width) for name, width in widths.items()})
        self.fusion = spec.build(widths, grids=grids)
        self.trunk = MLP(self.fusion.output_width, hidden=[width], output_width=num_classes)

    def forward(self, tokens: dict[str, Tokens]) -> Tensor:
        (fused,) = self.fusion({name: self.absent[name](one) for name, one in tokens.items()}).values()
        logits: Tensor = self.trunk(fused.pooled)
        return logits


class _Absent(nn.Module):
    """Puts a learned token where the input is absent."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(width))

    def forward(self, one: Tokens) -> Tokens:
        return Tokens(torch.where(one.present[:, None, None], one.values, self.token), one.mask, one.present)
