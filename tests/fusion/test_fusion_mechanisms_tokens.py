"""Each token-level operator beats concat on a table made for its mechanism: same trunk, width, rows and steps.

In all of them a mean over tokens loses what belongs to what. The margin asked for is half of the least one measured;
concat is tried as it comes and with a second layer.
"""

from dataclasses import dataclass
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from mechanisms import MakeRows, Rows, accuracy
from torch import Tensor

from motet.core.flow import Tokens
from motet.fusion import Bottleneck, CoAttention, Concat, CrossAttention, FusionSpec, Perceiver, Transformer

SEEDS = (0, 1, 2)
SMALL = {"width": 16, "heads": 2, "dropout": 0.0}
CONCATS = (Concat(width=16), Concat(width=16, layers=2))


def sequence(values: Tensor, lengths: Tensor | None = None) -> Tokens:
    """`[B, T, D]`, each row cut off at its length."""
    lengths = torch.full((len(values),), values.shape[1]) if lengths is None else lengths
    mask = torch.arange(values.shape[1]) < lengths[:, None]
    return Tokens(torch.where(mask[:, :, None], values, 0.0), mask, torch.ones(len(values), dtype=torch.bool))


@dataclass(frozen=True)
class Memory:
    """Tokens that each hold one of the keys and a value, in any order; a question, which is a key; its value."""

    keys: int

    def __call__(self, num_rows: int, generator: torch.Generator) -> Rows:
        question, memory, label, lengths = self.draw(num_rows, generator)
        return {"question": sequence(question), "memory": sequence(memory, lengths)}, label

    def draw(self, num_rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The first 3 tokens at least are there, and the one asked for is among those that are."""
        order = torch.rand(num_rows, self.keys, generator=generator).argsort(dim=1)
        values = torch.randint(3, (num_rows, self.keys), generator=generator)
        lengths = torch.randint(3, self.keys + 1, (num_rows,), generator=generator)
        place = (torch.rand(num_rows, generator=generator) * lengths).long()[:, None]
        memory = torch.cat([F.one_hot(order, self.keys), F.one_hot(values, 3)], dim=2).float()
        return F.one_hot(order.gather(1, place), self.keys).float(), memory, values.gather(1, place)[:, 0], lengths


def split_memory(num_rows: int, generator: torch.Generator) -> Rows:
    """The same, but the memory is two inputs, and nothing says in which of them the answer is."""
    question, memory, label, _ = Memory(keys=4).draw(num_rows, generator)
    return {"question": sequence(question), "left": sequence(memory[:, :2]), "right": sequence(memory[:, 2:])}, label


def same_time(num_rows: int, generator: torch.Generator) -> Rows:
    """A sound at some moment of one sequence, and what is to be seen at that moment of the other, which is longer."""
    moment = torch.randint(4, (num_rows,), generator=generator)
    sights = torch.randint(3, (num_rows, 6), generator=generator)
    heard, seen = (
        torch.maximum(torch.randint(2, longest + 1, (num_rows,), generator=generator), moment + 1) for longest in (4, 6)
    )
    sound = sequence(F.one_hot(moment, 4)[:, :, None].float(), heard)
    sight = sequence(F.one_hot(sights, 3).float(), seen)
    return {"sound": sound, "sight": sight}, sights.gather(1, moment[:, None])[:, 0]


def marked(num_rows: int, generator: torch.Generator) -> Rows:
    """Two inputs of up to 8 tokens, each of some class; one token of either is marked, and only these two count."""
    tokens, classes = {}, []
    for name in ("left", "right"):
        lengths = torch.randint(4, 9, (num_rows,), generator=generator)
        place = (torch.rand(num_rows, generator=generator) * lengths).long()
        drawn = torch.randint(2, (num_rows, 8), generator=generator)
        tokens[name] = sequence(torch.stack([F.one_hot(place, 8), drawn], dim=2).float(), lengths)
        classes.append(drawn.gather(1, place[:, None])[:, 0])
    return tokens, 2 * classes[0] + classes[1]


@cache
def accuracies(spec: FusionSpec, make_rows: MakeRows, steps: int, learning_rate: float) -> tuple[float, ...]:
    return tuple(accuracy(spec, make_rows, seed=seed, steps=steps, learning_rate=learning_rate) for seed in SEEDS)


@pytest.mark.parametrize(
    ("spec", "make_rows", "steps", "learning_rate"),
    [
        pytest.param(CrossAttention(**SMALL), same_time, 220, 0.007, id="crossattention"),
        pytest.param(CoAttention(**SMALL), split_memory, 150, 0.01, id="coattention"),
        pytest.param(Bottleneck(**SMALL, bottlenecks=1), marked, 80, 0.007, id="bottleneck"),
        pytest.param(Transformer(**SMALL), Memory(keys=4), 130, 0.01, id="transformer"),
        pytest.param(Perceiver(**SMALL, latents=8, layers=1), marked, 150, 0.007, id="perceiver"),
    ],
)
def test_the_mechanism_beats_concat(spec: FusionSpec, make_rows: MakeRows, steps: int, learning_rate: float) -> None:
    concats = (accuracies(concat, make_rows, steps, learning_rate) for concat in CONCATS)
    leads = zip(accuracies(spec, make_rows, steps, learning_rate), *concats, strict=True)
    assert min(mine - max(others) for mine, *others in leads) > 0.2
