"""One transformer over all tokens, against the equations written out for one row."""

import pytest
import torch
from attention_by_hand import WIDTHS, close, embedded, inputs_of, norm, self_block, shaken, some_tokens
from torch import Tensor

from motet.core.flow import Tokens
from motet.fusion import TransformerFusion


def by_hand(fusion: TransformerFusion, row: dict[str, Tensor]) -> Tensor:
    x = torch.cat([fusion.summary[None], *(embedded(fusion, name, each) for name, each in row.items())])
    for block in fusion.blocks:
        x = self_block(x, block)
    return norm(x, fusion.norm)


@pytest.mark.parametrize("layers", [1, 2])
def test_every_row_equals_the_equations(layers: int) -> None:
    torch.manual_seed(0)
    fusion = shaken(TransformerFusion(WIDTHS, width=6, heads=2, layers=layers))
    tokens = some_tokens()
    joint = fusion(tokens)["joint"]
    for row in range(len(joint.pooled)):
        inputs = inputs_of(tokens, row)
        expected = by_hand(fusion, inputs)
        close(joint.pooled[row], expected[0])
        parts = expected[1:].split([len(x) for x in inputs.values()])
        for name, y in zip(inputs, parts, strict=True):
            close(joint.tokens[name].values[row][tokens[name].mask[row]], y)


def test_only_as_many_tokens_are_computed_as_the_fullest_row_has() -> None:
    """Rows of 1 and 9 and of 9 and 1 tokens: with the learned one 11, not 19."""
    fusion = TransformerFusion({"a": 2, "b": 2}, width=4, heads=1)
    seen = []
    fusion.blocks[0].register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[1]))
    masks = torch.arange(9) < torch.tensor([[1], [9]])
    there = torch.ones(2, dtype=torch.bool)
    tokens = {"a": Tokens(torch.randn(2, 9, 2), masks, there), "b": Tokens(torch.randn(2, 9, 2), masks.flip(0), there)}
    fusion(tokens)
    assert seen == [11]


def test_a_row_without_inputs_is_what_the_learned_token_makes_of_itself() -> None:
    fusion = shaken(TransformerFusion({"a": 2}, width=4, heads=1))
    none = torch.zeros(1, dtype=torch.bool)
    absent = Tokens(
        torch.full((1, 3, 2), float("nan"), dtype=torch.float64), torch.tensor([[True, False, False]]), none
    )
    close(fusion({"a": absent})["joint"].pooled, by_hand(fusion, {}))
