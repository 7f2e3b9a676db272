"""A transformer that writes: it reads a memory and what it wrote so far, and says how likely each next id is.

Shapes: B rows, L ids, T tokens of memory, D width, V ids in all; K hypotheses side by side for each row, N = B * K.
"""

from dataclasses import dataclass, replace
from typing import Self, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from motet.nn.attention import Attention, CrossBlock, attend, attend_where
from motet.nn.dropout import Dropout
from motet.nn.pooling import hide


class Past:
    """Keys beside values `[B, E, 2*D]` of what was written, with room behind, so that most steps copy nothing."""

    def __init__(self, values: Float[Tensor, "B R 2*D"]) -> None:
        self.values, self.filled = values, 0

    def extended(self, count: int, new: Float[Tensor, "B K 2*D"]) -> "Past":
        """The first `count` entries and these behind them; in place where nobody has written there before."""
        end, past = count + new.shape[1], self
        if count < self.filled or end > self.values.shape[1]:
            past = Past(self.values.new_empty(len(new), 2 * end, new.shape[2]))
            past.values[:, :count] = self.values[:, :count]
        past.values[:, count:end], past.filled = new, end
        return past

    def of(self, row: Int64[Tensor, "b"]) -> "Past":
        """That of these rows."""
        return Past(self.values.index_select(0, row))


@dataclass(frozen=True, slots=True)
class DecoderState:
    """What `Decoder.step` remembers, for K hypotheses of every row: keys beside values of all they wrote, per layer.

    Hypotheses of one row share its memory and its past, of which `wrote` says what belongs to whom.
    """

    past: tuple[Past, ...]
    wrote: Bool[Tensor, "B K E"]
    length: int
    memory: tuple[Float[Tensor, "B T 2*D"], ...]
    mask: Bool[Tensor, "B T"]

    @property
    def rows(self) -> int:
        """N: how many hypotheses there are, those of one row side by side."""
        return self.wrote.shape[0] * self.wrote.shape[1]

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.mask.device

    def select(self, index: Int64[Tensor, "n"]) -> Self:
        """The state of these hypotheses in this order: repeated, moved or left out.

        It costs next to nothing as long as no row is left out and each has equally many, side by side.
        """
        owner = index // self.wrote.shape[1]
        row, times = owner.unique_consecutive(return_counts=True)  # type: ignore[no-untyped-call]
        row = row if bool((times == times[:1]).all()) else owner
        wrote = self.wrote.flatten(0, 1)[index].view(len(row), len(index) // max(1, len(row)), self.wrote.shape[2])
        if len(row) == len(self.mask) and bool((row == torch.arange(len(row), device=row.device)).all()):
            return replace(self, wrote=wrote)
        past, memory = tuple(x.of(row) for x in self.past), tuple(x.index_select(0, row) for x in self.memory)
        return replace(self, past=past, wrote=wrote, memory=memory, mask=self.mask[row])


class DecoderBlock(nn.Module):
    """Pre-norm block: `x += attention(norm(x))` over the places so far, then a `CrossBlock` on the memory.

    >>> import torch
    >>> block = DecoderBlock(8, heads=2)
    >>> block(torch.randn(2, 5, 8), torch.randn(2, 3, 8), torch.ones(2, 3, dtype=torch.bool)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, width: int, *, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads=heads)
        self.dropout = Dropout(dropout)
        self.cross = CrossBlock(width, heads=heads, dropout=dropout)

    def forward(
        self, x: Float[Tensor, "B L D"], memory: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B L D"]:
        """Each place sees itself, those before it, and the memory."""
        normed = self.norm(x)
        before = torch.ones(1, x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        x = x + self.dropout(self._look_back(normed, self.attention.key_value(normed), before))
        output: Tensor = self.cross(x, memory, mask)
        return output

    def step(
        self, x: Float[Tensor, "B K D"], state: DecoderState, layer: int, wrote: Bool[Tensor, "B K E"]
    ) -> tuple[Float[Tensor, "B K D"], Past]:
        """`forward` for one place more of each hypothesis, without dropout; `wrote` is that of the state behind it."""
        normed, cross = self.norm(x), self.cross
        past = state.past[layer].extended(state.wrote.shape[2], self.attention.key_value(normed))
        x = x + self._look_back(normed, past.values[:, : wrote.shape[2]], wrote)
        query, (key, value) = cross.attention.query(cross.attention_norm(x)), state.memory[layer].chunk(2, dim=-1)
        read = cross.attention.output(attend(query, key, value, state.mask, heads=cross.attention.heads))
        x = x + hide(read, state.mask.any(dim=1, keepdim=True).expand(read.shape[:2]))
        return x + cross.mlp(cross.mlp_norm(x)), past

    def remember(self, memory: Float[Tensor, "B T D"]) -> Float[Tensor, "B T 2*D"]:
        """Keys beside values of a memory that is finite everywhere."""
        keys_and_values: Tensor = self.cross.attention.key_value(self.cross.context_norm(memory))
        return keys_and_values

    def _look_back(self, normed: Tensor, past: Tensor, seen: Tensor) -> Tensor:
        key, value = past.chunk(2, dim=-1)
        attended = attend_where(seen, self.attention.query(normed), key, value, heads=self.attention.heads)
        output: Tensor = self.attention.output(attended)
        return output


class Decoder(nn.Module):
    """A transformer decoder (Vaswani et al., NeurIPS 2017): from ids and a memory to a logit for each next id.

    `x = E[id] + place`, blocks, a layer norm, `logits = E x`: the embedding E `[V, D]` is the output layer too (Press &
    Wolf, EACL 2017). Dropout on x and on every branch. Deviations: norms stand before the branches and once at the end,
    and every layer norms the memory; places are learned; GELU; E starts small (0.02) and is not multiplied by sqrt(D),
    with which a tied output layer first has to unlearn to repeat its input. In a row whose memory is empty nothing is
    read.

    `step` says id by id what `forward` says at once, without dropout and without gradients.

    >>> import torch
    >>> decoder = Decoder(8, layers=2, heads=2, num_ids=5, longest=6).eval()
    >>> ids, memory, mask = torch.tensor([[0, 3]]), torch.randn(1, 4, 8), torch.ones(1, 4, dtype=torch.bool)
    >>> at_once, state = decoder(ids, memory, mask), decoder.start(memory, mask)
    >>> for place in range(2):
    ...     logits, state = decoder.step(ids[:, place], state)
    >>> torch.allclose(logits, at_once[:, 1], atol=1e-5)
    True
    """

    def __init__(
        self, width: int, *, layers: int, heads: int, num_ids: int, longest: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.embedding = nn.Parameter(0.02 * torch.randn(num_ids, width))
        self.places = nn.Parameter(0.02 * torch.randn(longest, width))
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(DecoderBlock(width, heads=heads, dropout=dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(
        self, ids: Int64[Tensor, "B L"], memory: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B L V"]:
        """The logits at place l are of the id behind `ids[:, : l + 1]`; `mask` is that of the memory.

        Ids below 0 are padding, behind the others, which do not see it; what is answered there means nothing.
        """
        x, memory = self.dropout(self._embedded(ids, 0)), hide(memory, mask)
        for block in self.blocks:
            x = block(x, memory, mask)
        return F.linear(self.norm(x), self.embedding)

    @torch.no_grad()
    def start(self, memory: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> DecoderState:
        """The state of one hypothesis per row before its first id; the memory is read here, once."""
        memory = hide(memory, mask)
        read = tuple(block.remember(memory) for block in self._blocks())
        wrote = torch.ones(len(mask), 1, 0, dtype=torch.bool, device=mask.device)
        return DecoderState(tuple(Past(layer[:, :0]) for layer in read), wrote, 0, read, mask)

    @torch.no_grad()
    def step(self, ids: Int64[Tensor, "N"], state: DecoderState) -> tuple[Float[Tensor, "N V"], DecoderState]:
        """The logits of what follows these ids, one per hypothesis, and the state behind them."""
        rows, beam, _ = state.wrote.shape
        own = torch.eye(beam, dtype=torch.bool, device=ids.device).expand(rows, -1, -1)
        behind = replace(state, wrote=torch.cat([state.wrote, own], dim=2), length=state.length + 1)
        x, past = self._embedded(ids[:, None], state.length).view(rows, beam, self.embedding.shape[1]), []
        for layer, block in enumerate(self._blocks()):
            x, longer = block.step(x, state, layer, behind.wrote)
            past.append(longer)
        return F.linear(self.norm(x), self.embedding).flatten(0, 1), replace(behind, past=tuple(past))

    def _embedded(self, ids: Int64[Tensor, "N L"], place: int) -> Float[Tensor, "N L D"]:
        """The vectors of ids that stand at `place` and behind it."""
        end, most = place + ids.shape[1], len(self.places)
        if end > most:
            raise ValueError(f"the decoder was built for the longest of {most} ids, found {end}; shorten them")
        return F.embedding(ids.clamp(min=0), self.embedding) + self.places[place:end]

    def _blocks(self) -> list[DecoderBlock]:
        return cast(list[DecoderBlock], list(self.blocks))
