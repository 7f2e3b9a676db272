"""Synergy: what a model gains by combining its inputs, beyond adding up what each of them says.

EMAP (Hessel & Lee, EMNLP 2020) projects what the model f says onto functions that are a sum of one for each input,
by the empirical means over the rows that there are. Of two inputs

    f'(a_i, b_i) = mean_j f(a_i, b_j) + mean_j f(a_j, b_i) - mean_jk f(a_j, b_k),

and of M inputs, as the first order of Hoeffding's decomposition,

    f'(x_i) = sum_m p_m(x_mi) - (M - 1) mu,     p_m(x) = mean_d f(x, z_-md),     mu = mean_m mean_d p_m(z_md),

z_d a donor, each of whose inputs is that of a row of its own, or what two inputs say together could count as said by
one. Where f' scores as well as f does, the model has no use for combinations, whatever its fusion could do. A sum
is its own projection, whoever the donors are; of two inputs, with all rows as donors, f' is that of the paper.

Deviations: there may be fewer donors than rows. Means are of outputs, logits or standardised values as the authors take
them, so tasks whose answer is no such vector have no synergy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from motet.core.seed import generator
from motet.evaluation.contribution import TaskRows
from motet.evaluation.interval import difference

Chosen = Mapping[str, Int64[Tensor, "n"]]
"""For each input the rows that it is taken from."""


@dataclass(frozen=True, slots=True)
class Synergy:
    """`full` less `additive`, the scores of f and of f' on the same `rows` rows, positive where combining helps."""

    value: float
    low: float
    high: float
    additive: float
    full: float
    rows: int


def additive_projection(
    answer: Callable[[Chosen], Mapping[str, Tensor]],
    inputs: Sequence[str],
    *,
    num_rows: int,
    num_donors: int,
    seed: int,
    size: int = 1024,
) -> dict[str, Tensor]:
    """`{task: f' [N, ...]}` of N rows; `answer` says what the model makes of inputs that are taken from these rows.

    It is asked about `M N D` combinations, about `size` at a time; how many it computes at once is its own affair.
    """
    donors = donors_of(inputs, num_rows=num_rows, num_donors=num_donors, seed=seed)
    by_input = {name: _mean_over_donors(answer, name, donors, num_rows, size) for name in donors}
    return {task: _joined({name: one[task] for name, one in by_input.items()}, donors) for task in by_input[inputs[0]]}


def donors_of(inputs: Sequence[str], *, num_rows: int, num_donors: int, seed: int) -> dict[str, Tensor]:
    """For each input the rows that the donors have it from, none twice.

    >>> donors_of(["a", "b"], num_rows=3, num_donors=3, seed=0)["a"].sort().values.tolist()
    [0, 1, 2]
    """
    draws = {name: generator(seed, "donors", name) for name in sorted(inputs)}
    return {name: torch.from_numpy(draw.permutation(num_rows)[:num_donors]) for name, draw in draws.items()}


def synergy_of(rows: TaskRows, full: Tensor, additive: Tensor, *, seed: int, resamples: int, level: float) -> Synergy:
    """How much better the outputs `full` score than their projection, paired."""
    better, worse = (full, additive) if rows.sign > 0 else (additive, full)
    found = difference(
        rows.judge(better),
        rows.judge(worse),
        int(rows.labelled.sum()),
        groups=rows.labelled_groups,
        seed=seed,
        resamples=resamples,
        level=level,
    )
    values = rows.value(additive), rows.value(full)
    return Synergy(found.value, found.low, found.high, *values, rows=int(rows.labelled.sum()))


def _mean_over_donors(
    answer: Callable[[Chosen], Mapping[str, Tensor]], kept: str, donors: Chosen, num_rows: int, size: int
) -> dict[str, Tensor]:
    """`p_m` of every row, m the input that is kept, by task."""
    num_donors = len(donors[kept])
    found: dict[str, list[Tensor]] = {}
    for rows in torch.split(torch.arange(num_rows), max(1, size // num_donors)):
        own = rows.repeat_interleave(num_donors)
        said = answer({name: own if name == kept else one.repeat(len(rows)) for name, one in donors.items()})
        for task, output in said.items():
            found.setdefault(task, []).append(output.view(len(rows), num_donors, *output.shape[1:]).mean(dim=1))
    return {task: torch.cat(parts) for task, parts in found.items()}


def _joined(by_input: Mapping[str, Tensor], donors: Chosen) -> Tensor:
    mean = torch.stack([one[donors[name]].mean(dim=0) for name, one in by_input.items()]).mean(dim=0)
    return torch.stack(list(by_input.values())).sum(dim=0) - (len(by_input) - 1) * mean
