"""Co-attention with the union of all others, against the equations written out for one row."""

import pytest
import torch
from attention_by_hand import (
    WIDTHS,
    attention,
    close,
    inputs_of,
    linear,
    norm,
    self_block,
    shaken,
    some_tokens,
    summarised,
)
from torch import Tensor

from motet.core.flow import Tokens
from motet.fusion import CoAttentionFusion


def by_hand(fusion: CoAttentionFusion, row: dict[str, Tensor]) -> dict[str, Tensor]:
    x = {name: summarised(fusion, name, each) for name, each in row.items()}
    for layer in fusion.layers:
        parts = {
            name: linear(norm(each, layer.readers[name].norm), layer.readers[name].query_key_value).chunk(3, dim=1)
            for name, each in x.items()
        }
        for name in x:
            others = [other for other in x if other != name]
            if others:
                keys, values = (torch.cat([parts[other][part] for other in others]) for part in (1, 2))
                heard = attention(parts[name][0], keys, values, heads=layer.readers[name].heads)
                x = {**x, name: x[name] + linear(heard, layer.readers[name].output)}
        x = {name: self_block(each, layer.blocks[name]) for name, each in x.items()}
    return {name: norm(each, fusion.norms[name]) for name, each in x.items()}


@pytest.mark.parametrize("layers", [1, 2])
def test_every_row_equals_the_equations(layers: int) -> None:
    torch.manual_seed(0)
    fusion = shaken(CoAttentionFusion(WIDTHS, width=6, heads=2, layers=layers))
    tokens = some_tokens()
    joint = fusion(tokens)["joint"]
    for row in range(len(joint.pooled)):
        expected = by_hand(fusion, inputs_of(tokens, row))
        pooled = torch.stack([y[0] for y in expected.values()]).mean(dim=0)
        close(joint.pooled[row], pooled)
        for name, y in expected.items():
            close(joint.tokens[name].values[row][tokens[name].mask[row]], y[1:])


def test_the_others_compete_for_one_softmax() -> None:
    """A key that draws all attention silences the third input, which a softmax for each pair would not."""
    torch.manual_seed(0)
    fusion = shaken(CoAttentionFusion(WIDTHS, width=6, heads=1))
    layer = fusion.layers[0]
    with torch.no_grad():
        for name in ("age", "photo", "review"):
            reader = layer.readers[name]
            reader.query_key_value.weight[:12] = 0  # queries and keys are their biases
            reader.query_key_value.bias[:6] = 1
            reader.query_key_value.bias[6:12] = 500 if name == "photo" else 0
    tokens = some_tokens()
    review, found = tokens["review"], []
    for values in (review.values, -review.values):
        tokens["review"] = Tokens(values, review.mask, review.present)
        found.append(fusion(tokens)["joint"].tokens["age"].values)
    both = tokens["photo"].present & tokens["review"].present
    assert torch.equal(found[0][both], found[1][both])
    assert not torch.equal(found[0], found[1])


def test_an_operator_for_one_input_has_nothing_to_read_with() -> None:
    one = CoAttentionFusion({"photo": 6}, width=6, heads=2)
    assert not [name for name, _ in one.named_parameters() if "readers" in name]
