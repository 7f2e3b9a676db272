"""Beam search: the best hypotheses of every row go on side by side, and the best one that ended is the answer.

Shapes: B rows, L ids, V ids in all; b rows that are not done, K hypotheses of each, C continuations of these.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


class State(Protocol):
    """What a step remembers of the ids so far, for each of N hypotheses."""

    @property
    def rows(self) -> int:
        """N."""

    @property
    def device(self) -> torch.device:
        """Where it is."""

    def select(self, index: Int64[Tensor, "n"]) -> Self:
        """The state of these hypotheses in this order: repeated, moved or left out."""


S = TypeVar("S", bound=State)
Step = Callable[[Tensor, S], tuple[Tensor, S]]
"""From ids `[N]` and the state before them to what says how likely each next id is, `[N, V]`, and the state behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beam:
    """Beam search of `width` K by the score `log p(y) / ((5 + |y|) / 6)^alpha` (Wu et al., 2016), |y| with the end.

    Each step ranks the continuations of all K hypotheses: those that end among the first K are candidates, the best K
    that do not end go on. A row is done with K candidates, or where no hypothesis can overtake its best one any more.
    Its answer is the best candidate; without any, the best hypothesis as it is cut off. Width 1 is greedy.
    Deviations: no pruning by differences of scores and no coverage penalty; to be done with K candidates is the rule
    of fairseq (Ott et al., NAACL 2019).
    """

    width: int = 4
    alpha: float = 0.6

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"the width of a beam is a number of hypotheses, 1 or more, found {self.width}")
        if not self.alpha >= 0:
            raise ValueError(f"alpha is 0, for no normalisation, or more, found {self.alpha}")

    def score(self, log_probability: Float[Tensor, "*n"], length: int) -> Float[Tensor, "*n"]:
        """What hypotheses of this length are compared by.

        >>> Beam(alpha=1.0).score(torch.tensor(-3.0), 7)
        tensor(-1.5000)
        """
        return log_probability / math.pow((5 + length) / 6, self.alpha)

    def search(
        self, step: Step[S], state: S, *, start_id: int, end_id: int, longest: int
    ) -> tuple[Int64[Tensor, "B longest"], Float[Tensor, "B"]]:
        """The ids of each row, padded with -1, and their mean log probability.

        `step(ids [N], state)` gives log probabilities `[N, V]`, which are written over, and the state behind the ids.
        """
        best, live = _Best(self, state, longest), _Live.at_start(state, start_id)
        for length in range(1, longest + 1):
            log_probability, state = step(live.ids[:, :, -1].flatten(), state)
            options, parent = live.continued(log_probability, count=2 * self.width)
            ends = options.ids[:, :, -1] == end_id
            best.offer(options, ends, among=self.width)
            options, chosen = options.likeliest(~ends, count=min(self.width, ends.shape[1] - live.total.shape[1]))
            options.going = best.improvable(options)
            if length == longest or not options.going.any():
                break
            kept = worth_keeping(options.going)
            hypothesis = torch.arange(live.total.numel(), device=state.device).view(live.total.shape)
            state = state.select(hypothesis.gather(1, parent.gather(1, chosen))[kept].flatten())
            live = options.of(kept)
        best.cut_off(options)
        return best.ids, best.mean


def worth_keeping(going: Bool[Tensor, "n"]) -> Int64[Tensor, "m"]:
    """Which rows to carry on: those that go on, as soon as these are half of all or fewer, since leaving out copies.

    >>> worth_keeping(torch.tensor([True, False, True])), worth_keeping(torch.tensor([False, True, False]))
    (tensor([0, 1, 2]), tensor([1]))
    """
    few = 2 * int(going.sum()) <= len(going)
    return going.nonzero()[:, 0] if few else torch.arange(len(going), device=going.device)


@dataclass(slots=True)
class _Live:
    """Hypotheses side by side: of which row, its ids from the start on, log p, and whether the row goes on."""

    row: Int64[Tensor, "b"]
    ids: Int64[Tensor, "b K l"]
    total: Float[Tensor, "b K"]
    going: Bool[Tensor, "b"]

    @classmethod
    def at_start(cls, state: State, start_id: int) -> Self:
        row = torch.arange(state.rows, device=state.device)
        ids = torch.full((len(row), 1, 1), start_id, device=state.device)
        return cls(row, ids, torch.zeros(len(row), 1, device=state.device), torch.ones_like(row) > 0)

    def continued(self, log_probability: Float[Tensor, "b*K V"], *, count: int) -> tuple[Self, Int64[Tensor, "b C"]]:
        """The likeliest continuations of a row's hypotheses, best first, and which hypothesis each continues."""
        num_ids = log_probability.shape[1]
        total = log_probability.add_(self.total.view(-1, 1)).view(len(self.row), self.total.shape[1] * num_ids)
        total, place = total.topk(min(count, total.shape[1]), dim=1)
        parent, new = place // num_ids, place % num_ids
        ids = torch.cat([_picked(self.ids, parent), new[:, :, None]], dim=2)
        return type(self)(self.row, ids, total, self.going), parent

    def likeliest(self, allowed: Bool[Tensor, "b C"], *, count: int) -> tuple[Self, Int64[Tensor, "b K"]]:
        """The likeliest that are allowed, and which these are."""
        total, chosen = self.total.where(allowed, -torch.inf).topk(count, dim=1)
        return type(self)(self.row, _picked(self.ids, chosen), total, self.going), chosen

    def of(self, kept: Int64[Tensor, "m"]) -> Self:
        """Those of some of the rows."""
        return type(self)(self.row[kept], self.ids[kept], self.total[kept], self.going[kept])


class _Best:
    """The best candidate of each row so far, and how many it had."""

    def __init__(self, beam: Beam, state: State, longest: int) -> None:
        self.beam, self.longest = beam, longest
        self.ids = torch.full((state.rows, longest), -1, device=state.device)
        self.score = torch.full((state.rows,), -torch.inf, device=state.device, dtype=torch.float64)
        self.mean, self.num_candidates = self.score.clone(), torch.zeros_like(self.score)

    def offer(self, options: _Live, ends: Bool[Tensor, "b C"], *, among: int) -> None:
        """Take those that end `among` the first, in rows that go on, where they are better than the best."""
        ended = (ends & options.going[:, None] & (options.total > -torch.inf))[:, :among]
        total, which = options.total[:, :among].where(ended, -torch.inf).max(dim=1)
        self._take(options.row, total, _picked(options.ids, which[:, None])[:, 0, 1:-1], options.ids.shape[2] - 1)
        self.num_candidates[options.row] += ended.sum(dim=1)

    def cut_off(self, options: _Live) -> None:
        """The likeliest hypothesis where nothing has ended."""
        without = self.score[options.row] == -torch.inf
        self._take(options.row[without], options.total[without, 0], options.ids[without, 0, 1:], self.longest)

    def improvable(self, live: _Live) -> Bool[Tensor, "b"]:
        """False with enough candidates, and where log p, which only falls, is too low for any that could follow."""
        best = self.score[live.row]
        overtakes = (self.beam.score(live.total[:, 0].double(), self.longest) > best) | (best == -torch.inf)
        return live.going & overtakes & (self.num_candidates[live.row] < self.beam.width)

    def _take(self, row: Tensor, total: Tensor, ids: Tensor, length: int) -> None:
        total = total.double()
        score = self.beam.score(total, length)
        better = score > self.score[row]
        row = row[better]
        self.score[row], self.mean[row] = score[better], total[better] / length
        self.ids[row] = torch.nn.functional.pad(ids[better], (0, self.longest - ids.shape[1]), value=-1)


def _picked(ids: Int64[Tensor, "b K l"], which: Int64[Tensor, "b n"]) -> Int64[Tensor, "b n l"]:
    return ids.gather(1, which[:, :, None].expand(-1, -1, ids.shape[2]))
