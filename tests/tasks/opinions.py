"""Opinions of streams for the tests of rules, and the kinds of task whose rules are tested."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from motet.core.flow import Cells
from motet.tasks import Binary, Multiclass, Multilabel, Regression, TaskSpec
from motet.tasks.rules import Opinion, Rule

WIDTH = 3
LABELS: dict[str, tuple[TaskSpec, list[object]]] = {
    "binary": (Binary(), ["no", "yes", "no", "yes", "no"]),
    "multiclass": (Multiclass(), [3, 1, 2, 1, 3]),
    "multilabel": (Multilabel(), ["a|b", [], "c", ["b", "c"], "a"]),
    "regression": (Regression(), [1.5, "2", 7, -3.25, 0]),
}
NUM_ROWS = 5


def build(kind: str, name: str, streams: Sequence[str] = ("a", "b")) -> Rule:
    """The rule of this name for the kind of task, knowing the prior of its labels."""
    spec, labels = LABELS[kind]
    codec = spec.fit(labels)
    rule = spec.rule(name, codec, streams=streams, width=WIDTH)
    rule.start_from(codec.prior(target(kind).values["target"]))
    return rule


def target(kind: str, present: Sequence[bool] = (True,) * NUM_ROWS) -> Cells:
    spec, labels = LABELS[kind]
    codec = spec.fit(labels)
    return Cells(codec.batch([codec.read(label) for label in labels]), torch.tensor(present))


def raw(kind: str, *, seed: int) -> Tensor:
    spec, labels = LABELS[kind]
    shape = (NUM_ROWS, *spec.output_shape(spec.fit(labels)))
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def opinions(
    outputs: Mapping[str, Tensor],
    *,
    present: Mapping[str, Sequence[bool]] | None = None,
    weights: Mapping[str, Sequence[float]] | None = None,
    features: Mapping[str, Tensor] | None = None,
) -> dict[str, Opinion]:
    """All present unless said otherwise, with equal shares over the present ones unless said otherwise."""
    num_rows = len(next(iter(outputs.values())))
    there = {s: torch.tensor((present or {}).get(s, [True] * num_rows)) for s in outputs}
    number = torch.stack(list(there.values())).sum(dim=0)
    generator = torch.Generator().manual_seed(7)
    found = {}
    for stream, output in outputs.items():
        equal = torch.where(number > 0, there[stream] / number.clamp(min=1), 1 / len(outputs))
        weight = torch.tensor(weights[stream]) if weights else equal
        own = features[stream] if features else torch.randn(num_rows, WIDTH, generator=generator)
        found[stream] = Opinion(output, own, there[stream], weight)
    return found
