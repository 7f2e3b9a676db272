"""Cox's partial likelihood. N rows, T distinct times."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def partial_likelihood(
    log_hazard: Float[Tensor, "N"],
    time: Float[Tensor, "N"],
    event: Bool[Tensor, "N"],
    *,
    ties: Literal["efron", "breslow"],
) -> Float[Tensor, "N"]:
    """The share of each row in the negative logarithm of the partial likelihood, 0 without an event.

    Of a row i with an event at t it is `log sum_{j: t_j >= t} exp(h_j) - h_i`: how unlikely it was that of all who were
    still there it happened to i (Cox, Regression Models and Life-Tables, JRSS-B 1972). With d events at the same t that
    is the form of Breslow (Biometrics 1974). That of Efron (JASA 1977) takes them out one after the other, each by a
    d-th part: the logarithm becomes the mean over l = 0 .. d - 1 of
    `log(sum_{j: t_j >= t} exp(h_j) - l / d * sum_{j: t_j = t, event} exp(h_j))`.

    >>> one = partial_likelihood(torch.zeros(2), torch.tensor([1.0, 2.0]), torch.tensor([True, True]), ties="efron")
    >>> one.exp()  # one of two, then one of one
    tensor([2., 1.])
    """
    if len(time) == 0:
        return log_hazard
    order = time.argsort(descending=True, stable=True)
    hazard, happened = log_hazard[order], event[order]
    number, counts = torch.unique_consecutive(time[order], return_inverse=True, return_counts=True)[1:]
    at_risk = hazard.logcumsumexp(dim=0)[counts.cumsum(0) - 1]  # [T]
    if ties == "efron":
        at_risk = at_risk + _taken_out(hazard, happened, number, at_risk)
    lost = torch.where(happened, at_risk[number] - hazard, 0.0)
    return torch.zeros_like(lost).index_copy(0, order, lost)


def _taken_out(
    hazard: Float[Tensor, "N"], happened: Bool[Tensor, "N"], number: Tensor, at_risk: Float[Tensor, "T"]
) -> Float[Tensor, "T"]:
    """The mean over l = 0 .. d - 1 of `log(1 - l / d * s)`, s the share of a time's events in those at risk."""
    some = happened.nonzero().squeeze(1)
    of = number[some]
    nothing = torch.zeros_like(at_risk)
    share = nothing.index_add(0, of, (hazard[some] - at_risk[of]).exp()).clamp(max=1.0)
    num_events = nothing.index_add(0, of, torch.ones_like(hazard[some]))
    start = num_events.cumsum(0) - num_events
    before = torch.arange(len(some), device=hazard.device) - start[of]  # l, since rows of one time are neighbours
    logarithms = torch.log1p(-before / num_events[of] * share[of])
    return nothing.index_add(0, of, logarithms) / num_events.clamp(min=1.0)
