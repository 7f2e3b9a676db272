"""Cross-attention of all ordered pairs, against the equations written out for one row."""

import pytest
import torch
from attention_by_hand import (
    WIDTHS,
    close,
    cross_block,
    inputs_of,
    linear,
    norm,
    self_block,
    shaken,
    some_tokens,
    summarised,
)
from pydantic import ValidationError
from torch import Tensor

from motet.core.errors import SpecError
from motet.core.flow import Tokens
from motet.fusion import CrossAttention, CrossAttentionFusion

ALL = [(a, b) for a in WIDTHS for b in WIDTHS if a != b]


def by_hand(fusion: CrossAttentionFusion, row: dict[str, Tensor], pairs: list[tuple[str, str]]) -> dict[str, Tensor]:
    z = {name: summarised(fusion, name, x) for name, x in row.items()}
    found = {}
    for name in z:
        x = z[name]
        for other in z:
            if (name, other) in pairs:
                pair, h = fusion.pairs[name][other], z[name]
                for block in pair.blocks:
                    h = cross_block(h, z[other], block)
                x = x + linear(h, pair.join)
        found[name] = norm(self_block(x, fusion.blocks[name]), fusion.norms[name])
    return found


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("pairs", ["all", [("age", "photo"), ("photo", "review")]])
def test_every_row_equals_the_equations(layers: int, pairs: str | list[tuple[str, str]]) -> None:
    torch.manual_seed(0)
    fusion = shaken(CrossAttentionFusion(WIDTHS, width=6, heads=2, layers=layers, pairs=pairs))
    tokens = some_tokens()
    joint = fusion(tokens)["joint"]
    for row in range(len(joint.pooled)):
        expected = by_hand(fusion, inputs_of(tokens, row), ALL if pairs == "all" else pairs)
        pooled = torch.stack([y[0] for y in expected.values()]).mean(dim=0)
        close(joint.pooled[row], pooled)
        for name, y in expected.items():
            close(joint.tokens[name].values[row][tokens[name].mask[row]], y[1:])


def test_an_input_reads_those_it_is_told_to_and_no_other() -> None:
    torch.manual_seed(0)
    fusion = shaken(CrossAttentionFusion(WIDTHS, width=6, heads=2, pairs=[("age", "photo")]))
    tokens = some_tokens()
    before = fusion(tokens)["joint"].tokens
    for changed, readers in (("photo", {"age", "photo"}), ("review", {"review"}), ("age", {"age"})):
        one = tokens[changed]
        after = fusion({**tokens, changed: Tokens(-one.values, one.mask, one.present)})["joint"].tokens
        assert {name for name in WIDTHS if not torch.equal(after[name].values, before[name].values)} == readers


def test_pairs_are_of_known_inputs_and_two_of_them() -> None:
    with pytest.raises(SpecError, match="no input 'foto'; did you mean 'photo'"):
        CrossAttention(pairs=(("age", "foto"),)).build(WIDTHS)
    with pytest.raises(SpecError, match="'age' reads itself anyway"):
        CrossAttention(pairs=(("age", "age"),)).build(WIDTHS)
    with pytest.raises(ValidationError):
        CrossAttention(pairs=())


def test_eight_inputs_have_fifty_six_pairs() -> None:
    fusion = CrossAttention(width=4, heads=1).build({f"x{index}": 2 for index in range(8)})
    assert sum(len(others) for _, others in fusion.pairs.items()) == 56
