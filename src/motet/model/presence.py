"""Absent inputs: the encoder never sees them, a learned token stands in their place, and training practises it.

B rows, N of them with the input, T tokens, D width.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from motet.core.flow import Cells, Tokens
from motet.core.seed import key
from motet.inputs.base import Encoder
from motet.model.share import lender
from motet.nn.keyed import row_keys, uniform


class PresentOnly(nn.Module):
    """An encoder that is run on the rows that have the input, and on no other.

    The content of an absent cell can not change anything: it is never read. `absent` is the learned token that stands
    alone, unmasked, in a row without the input. A graph that is compiled or exported can not depend on who is absent:
    there every row is encoded, with blanks in place of absent cells, and the outcome is the same but for rounding.

    With `always` the encoder is called in a batch without the input too, to compute nothing: where its weights are
    divided between processes, each has to take part in every call. Words and maps are passed on where `keeps_parts`.
    """

    always: bool = False
    keeps_parts: bool = False

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.output_width = encoder.output_width
        self.absent = nn.Parameter(torch.zeros(encoder.output_width))

    def forward(self, cells: Cells, keys: Int64[Tensor, "B"] | None = None) -> Tokens:
        """Encode `[B]` cells; `keys` seed the dropout of each row."""
        if torch.compiler.is_compiling():
            return self.dense(cells, keys)
        present = cells.present
        if bool(present.all()):
            with row_keys(keys):
                encoded = self.encoder(cells.values)
            return self._with_parts(Tokens(encoded.values, encoded.mask, present), encoded)
        rows = present.nonzero().squeeze(1)
        if len(rows) == 0:
            token = self.absent + self._nothing() if self.always else self.absent
            return self._with_parts(self._stand_in(token.expand(len(present), 1, -1), present))
        with row_keys(None if keys is None else keys[rows]):
            encoded = self.encoder({name: value[rows] for name, value in cells.values.items()})
        num_rows, (_, length, width) = len(present), encoded.values.shape
        values = encoded.values.new_zeros(num_rows, length, width).index_copy(0, rows, encoded.values)
        mask = encoded.mask.new_zeros(num_rows, length).index_copy(0, rows, encoded.mask)
        return self.hide(self._with_parts(Tokens(values, mask, present), encoded, rows), ~present)

    def dense(self, cells: Cells, keys: Int64[Tensor, "B"] | None = None) -> Tokens:
        """As `forward`, by a graph that is the same whoever is absent; as long as the longest cell, present or not."""
        with row_keys(keys):
            encoded = self.encoder({name: _blanked(value, cells.present) for name, value in cells.values.items()})
        return self.hide(self._with_parts(Tokens(encoded.values, encoded.mask, cells.present), encoded), ~cells.present)

    def hide(self, tokens: Tokens, hidden: Bool[Tensor, "B"]) -> Tokens:
        """The same tokens with the input taken away from the `hidden` rows."""
        absent = self.absent.to(tokens.values.dtype)
        first = torch.arange(tokens.mask.shape[1], device=hidden.device) == 0
        values = torch.where(hidden[:, None, None], torch.where(first[:, None], absent, 0.0), tokens.values)
        mask = torch.where(hidden[:, None], first, tokens.mask)
        word = None if tokens.word is None else torch.where(hidden[:, None], -1, tokens.word)
        maps = tuple(torch.where(hidden[:, None, None, None], 0.0, one) for one in tokens.maps)
        return Tokens(values, mask, tokens.present & ~hidden, word, maps)

    def _with_parts(self, tokens: Tokens, encoded: Tokens | None = None, rows: Tensor | None = None) -> Tokens:
        """With the words and maps that the encoder has told of these rows; without any where it was not called."""
        if not self.keeps_parts:
            return tokens
        num_rows = tokens.mask.shape[0]
        if encoded is None:
            maps = tuple(tokens.values.new_zeros(num_rows, *shape) for shape in self.encoder.output_maps)
            return replace(tokens, word=torch.full_like(tokens.mask, -1, dtype=torch.int64), maps=maps)
        if rows is None:
            return replace(tokens, word=encoded.word, maps=encoded.maps)
        maps = tuple(one.new_zeros(num_rows, *one.shape[1:]).index_copy(0, rows, one) for one in encoded.maps)
        word = encoded.word
        if word is not None:
            word = torch.full_like(tokens.mask, -1, dtype=torch.int64).index_copy(0, rows, word)
        return replace(tokens, word=word, maps=maps)

    def _nothing(self) -> Tensor:
        """Exactly 0, with gradients of exactly 0, from a call of the encoder that uses no number of its weights.

        A blank row would not do: who makes infinity of it has no gradient of 0.
        """
        encoder = lender(self.encoder)
        vars(encoder)["forward"] = lambda values: _sum_of_none(encoder.parameters())
        try:
            nothing: Tensor = encoder({})
        finally:
            del vars(encoder)["forward"]
        return nothing

    def _stand_in(self, values: Tensor, present: Tensor) -> Tokens:
        return Tokens(values, torch.ones_like(present)[:, None], present)


@dataclass(frozen=True, slots=True)
class Drop:
    """How often a training row goes without an input: `rate`, which the first `rise` of training leads up to.

    >>> Drop(0.2, rise=0.5).at(0.25), Drop(0.2).at(0.0)
    (0.1, 0.2)
    """

    rate: float
    rise: float = 0.0

    def at(self, progress: float) -> float:
        """The rate after this part of training, from 0 to 1: `rate * min(1, progress / rise)`."""
        return self.rate * min(1.0, progress / self.rise) if self.rise else self.rate


def drop_inputs(inputs: Mapping[str, Cells], rates: Mapping[str, float], keys: Int64[Tensor, "B"]) -> dict[str, Cells]:
    """Modality dropout (Neverova et al., TPAMI 2016): take each input away with its rate, row by row.

    Drawn per row and input from the row's key, so batch mates and the order of inputs do not matter. A row that would
    lose everything keeps the present input whose draw was furthest from being dropped.
    """
    names = sorted(inputs)
    draws = torch.stack([uniform(keys, salt=key("drop input", name), count=1)[:, 0] for name in names], dim=1)
    margin = draws - draws.new_tensor([rates.get(name, 0.0) for name in names])
    present = torch.stack([inputs[name].present for name in names], dim=1)
    kept = present & (margin >= 0)
    last = margin.masked_fill(~present, -2.0).argmax(dim=1, keepdim=True)
    rescued = torch.zeros_like(kept).scatter(1, last, True) & present & ~kept.any(dim=1, keepdim=True)
    kept = kept | rescued
    return {name: Cells(inputs[name].values, kept[:, column]) for column, name in enumerate(names)}


def _sum_of_none(weights: Iterable[Tensor]) -> Tensor:
    return sum((weight.flatten()[:0].sum() for weight in weights), torch.zeros(()))


def _blanked(value: Tensor, present: Bool[Tensor, "B"]) -> Tensor:
    """Absent cells replaced: by zeros, entry 0 of a table included, and by True in a mask, so that it is not empty."""
    beside = present.view(-1, *[1] * (value.dim() - 1))
    return torch.where(beside, value, True if value.dtype == torch.bool else 0)
