"""The likeliest label under CTC: a beam of prefixes, each with the probability of all its alignments so far.

Shapes: B rows, T frames, V ids, the blank (0) among them, L ids of a label; K prefixes, S ids that may follow them.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from motet.nn.ctc import frames_first, padded
from motet.nn.keyed import keys_of


@torch.no_grad()
def ctc_prefix_search(
    log_probability: Float[Tensor, "B T V"], mask: Bool[Tensor, "B T"], *, width: int = 8
) -> Int64[Tensor, "B L"]:
    """The likeliest label that a beam of `width` prefixes finds, padded with -1 (prefix search; Hannun et al., 2014).

    p of a prefix is kept in two parts: alignments that end in a blank, and in its last id. From both come, a frame on,
    those of the same prefix and of each longer one; the `width` prefixes of highest p remain. Deviation: no language
    model and no bonus for length.

    >>> frames = torch.tensor([[[0.6, 0.4], [0.6, 0.4]]])  # nothing: 0.36; the id 1: 0.64
    >>> ctc_prefix_search(frames.log(), torch.ones(1, 2, dtype=torch.bool))
    tensor([[1]])
    """
    if width < 1:
        raise ValueError(f"the width of a beam is a number of prefixes, 1 or more, found {width}")
    log_probability, mask = frames_first(log_probability, mask)
    silence = torch.arange(log_probability.shape[2], device=mask.device).eq(0).log()
    log_probability = log_probability.where(mask[:, :, None], silence)
    # The frame's K + 1 likeliest ids are enough: but for its own last id, each takes a prefix to one, new or there
    # already, that is better than what any id left out would make of it, and that makes K.
    likely, ids = log_probability[:, :, 1:].topk(min(width + 1, log_probability.shape[2] - 1), dim=2)
    beam, steps = _Prefixes.empty(log_probability.new_zeros(len(mask), 1)), []
    for t in range(mask.shape[1]):
        beam, step = beam.followed(log_probability[:, t], likely[:, t], ids[:, t] + 1, width=width)
        steps.append(step)
    return _read_back(beam.total.argmax(dim=1, keepdim=True), steps)


@dataclass(frozen=True, slots=True)
class _Step:
    """For each prefix behind a frame, which one before it it continues, and by which id; -1 by none."""

    source: Int64[Tensor, "B K"]
    new: Int64[Tensor, "B K"]


def _read_back(prefix: Int64[Tensor, "B 1"], steps: list[_Step]) -> Int64[Tensor, "B L"]:
    found = [prefix.new_empty(len(prefix), 0)]
    for step in reversed(steps):
        found.append(step.new.gather(1, prefix))
        prefix = step.source.gather(1, prefix)
    ids = torch.cat(found[::-1], dim=1)
    return padded(ids, ids >= 0)


@dataclass(frozen=True, slots=True)
class _Prefixes:
    """Prefixes of labels: log p of alignments that end in a blank, or in the last id (-1: there is none).

    The name of a prefix is a hash of its ids, of 64 bits; `parent` is the name of the prefix without its last id.
    """

    blank: Float[Tensor, "B K"]
    other: Float[Tensor, "B K"]
    last: Int64[Tensor, "B K"]
    name: Int64[Tensor, "B K"]
    parent: Int64[Tensor, "B K"]

    @classmethod
    def empty(cls, certain: Float[Tensor, "B 1"]) -> Self:
        """The prefix of no ids alone, whose log p is 0."""
        nothing = torch.zeros_like(certain, dtype=torch.int64)
        return cls(certain, torch.full_like(certain, -torch.inf), nothing - 1, nothing, nothing)

    @property
    def total(self) -> Float[Tensor, "B K"]:
        """Log p of all alignments."""
        return torch.logaddexp(self.blank, self.other)

    def followed(
        self, frame: Float[Tensor, "B V"], likely: Float[Tensor, "B S"], ids: Int64[Tensor, "B S"], *, width: int
    ) -> tuple[Self, _Step]:
        """The best prefixes a frame on; `likely` are the log probabilities of `ids`, which may come new."""
        grown, new = self._same(frame), self._new(likely, ids)
        score = torch.cat([grown.total, new.flatten(1)], dim=1)
        score, place = score.topk(min(width, score.shape[1]), dim=1)
        num_before, num_ids = new.shape[1:]
        longer, place = place >= num_before, place.where(place < num_before, place - num_before)
        source = place.where(~longer, place // num_ids)
        added = ids.gather(1, place % num_ids).where(longer, -1)
        return grown._chosen(source, added, score), _Step(source, added)

    def _same(self, frame: Float[Tensor, "B V"]) -> Self:
        """The same prefixes: by a blank, by their last id once more, or grown from another one of them."""
        again = frame.gather(1, self.last.clamp(min=0))
        before = self._before(self.last[:, None, :])
        arrived = (before + again[:, None]).where(self._leads(), -torch.inf).amax(dim=1)
        other = torch.logaddexp(self.other + again, arrived)
        return replace(self, blank=self.total + frame[:, :1], other=other)

    def _new(self, likely: Float[Tensor, "B S"], ids: Int64[Tensor, "B S"]) -> Float[Tensor, "B K S"]:
        """Log p of every prefix with one id more; -inf where that prefix is here already."""
        ends_in = self.last[:, :, None] == ids[:, None]
        here = self._leads().to(likely.dtype) @ ends_in.to(likely.dtype) > 0  # a product is the quickest "any"
        return (self._before(ids[:, None, :]) + likely[:, None]).where(~here, -torch.inf)

    def _before(self, new: Int64[Tensor, "B 1 n"]) -> Float[Tensor, "B K n"]:
        """Log p of the alignments that a new id may follow: between it and the same id there has to be a blank."""
        return self.blank[:, :, None].where(self.last[:, :, None] == new, self.total[:, :, None])

    def _leads(self) -> Bool[Tensor, "B K K"]:
        """Whether the second prefix is the first with one id more."""
        alive = (self.last >= 0) & (self.total > -torch.inf)
        return (self.parent[:, None, :] == self.name[:, :, None]) & alive[:, None, :]

    def _chosen(self, source: Int64[Tensor, "B k"], added: Int64[Tensor, "B k"], score: Float[Tensor, "B k"]) -> Self:
        """The prefix at `source`, or that one with the id `added` and this log p."""
        longer = added >= 0
        blank, other, last = (x.gather(1, source) for x in (self.blank, self.other, self.last))
        name, parent = (x.gather(1, source) for x in (self.name, self.parent))
        return type(self)(
            blank=blank.where(~longer, -torch.inf),
            other=other.where(~longer, score),
            last=last.where(~longer, added),
            name=name.where(~longer, keys_of(31 * name + added)),
            parent=parent.where(~longer, name),
        )
