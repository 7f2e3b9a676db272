"""What the processes of one step tell each other: how many labels there are, the losses, and the gradients.

Every process runs every step with rows of its own and ends it with the same weights. A loss is the mean over the
labelled rows of all processes; its gradient is the sum of what each process finds for its rows.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from motet.core.flow import Batch, Cells, LossTerm
from motet.core.together import Together
from motet.training.sharding import is_divided

Terms = Mapping[str, Mapping[str, LossTerm]]


def label_counts(
    batches: Sequence[Batch], tasks: Sequence[str], together: Together
) -> tuple[list[dict[str, float]], list[int]]:
    """How many labels each task has in each batch, over all processes, and how many rows each batch has.

    Where rows weigh differently each label counts as much as its row does.
    """
    own = [[float(labels_in(batch.targets[task], batch.weights)) for task in tasks] for batch in batches]
    rows = [0 if batch.filler else len(batch.rows) for batch in batches]
    found = torch.tensor([[*counts, num] for counts, num in zip(own, rows, strict=True)], dtype=torch.float64)
    whole = together.summed(found).tolist()
    return [dict(zip(tasks, row[:-1], strict=True)) for row in whole], [int(row[-1]) for row in whole]


def labels_in(target: Cells, row_weights: Tensor | None) -> Tensor:
    """How many rows are labelled; each counts as much as it weighs."""
    return target.present.sum() if row_weights is None else (target.present * row_weights).sum()


def over_all(parts: Terms, together: Together) -> dict[str, dict[str, LossTerm]]:
    """The terms with the sums and counts of all processes; on the way back each is this process's own."""
    if not together.several:
        return {task: dict(terms) for task, terms in parts.items()}
    flat = [term for terms in parts.values() for term in terms.values()]
    if not flat:
        return {}
    own = torch.stack([torch.stack([term.sum.detach().double(), term.count.detach().double()]) for term in flat])
    whole = iter(together.summed(own))
    return {task: {name: _whole(term, next(whole)) for name, term in terms.items()} for task, terms in parts.items()}


def sum_gradients(parameters: Sequence[nn.Parameter], *, alike: Sequence[nn.Parameter], together: Together) -> None:
    """Give every parameter the sum of its gradients; one without a gradient in any process keeps none.

    Those of which a process holds only a part have it already.
    `alike` are those whose gradient every process finds whole, from the losses of all: they get the mean.
    """
    if not together.several:
        return
    parameters = [one for one in parameters if not is_divided(one)]
    has = together.summed(torch.tensor([float(one.grad is not None) for one in parameters]))
    moving = [one for one, count in zip(parameters, has.tolist(), strict=True) if count]
    if not moving:
        return
    found = [torch.zeros_like(one) if one.grad is None else one.grad for one in moving]
    total = together.summed(torch.cat([gradient.reshape(-1) for gradient in found]))
    whole = {id(one) for one in alike}
    for one, part in zip(moving, torch.split(total, [one.numel() for one in moving]), strict=True):
        one.grad = (part / together.count if id(one) in whole else part).view_as(one)


def _whole(term: LossTerm, whole: Tensor) -> LossTerm:
    others = whole[0] - term.sum.detach().double()
    return LossTerm(term.sum + others.to(term.sum), whole[1].to(term.count))
