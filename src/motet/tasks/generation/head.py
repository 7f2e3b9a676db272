"""Writes with a decoder that reads the tokens of inputs and the features of the row.

Shapes: B rows, L ids, T tokens of memory, D width, V ids in all.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from motet.core import seed
from motet.core.errors import SpecError
from motet.core.flow import Cells, Tokens
from motet.nn import Beam, Decoder, Greedy, Sampling, current_row_keys, generate, hide, row_keys
from motet.nn.named import Named
from motet.tasks.generation.codec import EDGE, HIDDEN
from motet.tasks.part import PartHead, Reading

GROUPS, LEAST = 4, 16
"""Rows are learned from in so many groups of about the same length, of so many rows at least: less padding to read."""


class GenerationHead(PartHead):
    """A decoder over a memory: one token made of the row's features, then those of each input, all of one width.

    Of an absent input there is none: the features have heard that it is absent. `memory_t = A_m x_t + b_m` for input m.

    >>> head = GenerationHead(6, sources={"note": 4}, decoder=Decoder(8, layers=1, heads=2, num_ids=9, longest=5))
    >>> note = Tokens(torch.randn(2, 3, 4), torch.ones(2, 3, dtype=torch.bool), torch.tensor([True, False]))
    >>> head.answer(Reading(torch.randn(2, 6), {"note": note})).shape[0]
    2
    """

    def __init__(
        self,
        input_width: int,
        *,
        sources: Mapping[str, int],
        decoder: Decoder,
        smoothing: float = 0.0,
        method: Greedy | Beam | Sampling | None = None,
        chance: int = 0,
    ) -> None:
        super().__init__()
        self.num_ids, width = decoder.embedding.shape
        self.longest = len(decoder.places)
        self.features = nn.Linear(input_width, width)
        self.tokens = Named({name: nn.Linear(one, width) for name, one in sources.items()})
        self.decoder = decoder
        self.smoothing = smoothing
        self.method = Greedy() if method is None else method
        self.chance = chance

    def forward(self, reading: Reading, target: Cells) -> Float[Tensor, "B L"]:
        """The loss of each id (`divergence`), having read those before it; 0 behind the end."""
        wanted = target.values["target"][:, : self.longest]
        lengths, keys = (wanted != HIDDEN).sum(dim=1), current_row_keys()
        order = lengths.argsort(stable=True)
        parts = []
        for rows in order.chunk(max(1, min(GROUPS, len(order) // LEAST))):
            with row_keys(None if keys is None else keys[rows]):
                losses = self._losses(reading.rows(rows), wanted[rows, : lengths[rows].max()])
            parts.append(F.pad(losses, (0, wanted.shape[1] - losses.shape[1])))
        return torch.cat(parts)[order.argsort()]

    def answer(self, reading: Reading) -> Int64[Tensor, "B L"]:
        """The ids written and the end, -1 behind it; nothing but -1 in a row that has none of the inputs."""
        if torch.compiler.is_compiling():
            raise SpecError(
                "a task that writes can not be exported: it writes id by id until it is done, which no graph of fixed "
                "operations does; export a model without it"
            )
        known = torch.stack([one.present for one in reading.tokens.values()]).any(dim=0)
        rows = known.nonzero().squeeze(1)
        memory, mask = self._memory(reading.rows(rows))
        ids, _ = generate(
            self.decoder.step,
            self.decoder.start(memory, mask),
            start_id=EDGE,
            end_id=EDGE,
            longest=self.longest,
            method=self.method,
            keys=torch.full_like(rows, seed.key("write", self.chance)),
        )
        output = ids.new_full((len(known), ids.shape[1] + 1), HIDDEN)
        output[rows, :-1] = ids
        output[rows, (ids != HIDDEN).sum(dim=1)] = EDGE
        return output

    def start_from(self, prior: Tensor) -> None:
        """Nothing: how often which id occurs is learned in the first steps."""

    def _losses(self, reading: Reading, wanted: Int64[Tensor, "B L"]) -> Float[Tensor, "B L"]:
        memory, mask = self._memory(reading)
        before = F.pad(wanted[:, :-1], (1, 0), value=EDGE)
        return divergence(self.decoder(before, memory, mask), wanted, smoothing=self.smoothing)

    def _memory(self, reading: Reading) -> tuple[Float[Tensor, "B T D"], Bool[Tensor, "B T"]]:
        """What the decoder reads, without places that no row has."""
        values = [self.features(reading.features)[:, None]]
        masks = [torch.ones_like(values[0][:, :, 0], dtype=torch.bool)]
        for name, project in self.tokens.items():
            values_of, mask = _front(reading.tokens[name])
            values.append(project(values_of))
            masks.append(mask)
        return torch.cat(values, dim=1), torch.cat(masks, dim=1)


def divergence(
    logits: Float[Tensor, "B L V"], wanted: Int64[Tensor, "B L"], *, smoothing: float
) -> Float[Tensor, "B L"]:
    """`KL(q || softmax(logits))`, q = (1 - s) at the id wanted + s / V everywhere; 0 where `wanted` is -1.

    It is the cross-entropy with label smoothing s (Szegedy et al., CVPR 2016) less the entropy of q, which no model can
    get below: the gradient is the same, and the loss of a perfect model is 0.

    >>> logits = torch.tensor([[[0.6, 0.2, 0.2]]]).log()
    >>> divergence(logits, torch.tensor([[0]]), smoothing=0.6).abs() < 1e-6
    tensor([[True]])
    """
    num_ids = logits.shape[-1]
    least = -sum(math.log(q) * q * count for q, count in _smoothed(smoothing, num_ids) if q > 0)
    entropy = F.cross_entropy(
        logits.flatten(0, 1), wanted.flatten(), ignore_index=HIDDEN, reduction="none", label_smoothing=smoothing
    )
    return torch.where(wanted != HIDDEN, (entropy.view_as(wanted) - least).clamp(min=0), 0.0)


def _smoothed(smoothing: float, num_ids: int) -> list[tuple[float, int]]:
    """Each probability of q, and how many ids have it."""
    return [(1 - smoothing + smoothing / num_ids, 1), (smoothing / num_ids, num_ids - 1)]


def _front(tokens: Tokens) -> tuple[Tensor, Bool[Tensor, "B T"]]:
    """The tokens of the rows that have the input, zeros elsewhere, without places that no row has."""
    mask = tokens.mask & tokens.present[:, None]
    some = mask.any(dim=0)
    return hide(tokens.values[:, some], mask[:, some]), mask[:, some]
