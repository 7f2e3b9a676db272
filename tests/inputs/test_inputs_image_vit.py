"""The vision transformer: its equation in loops, its patches, what a patch may see, and who reads its map."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

from motet.inputs import Image
from motet.inputs.image import PatchEncoder, TransformerPatches


def encoder_for(size: tuple[int, int], *, patch: int = 4, channels: int = 3, layers: int = 2) -> PatchEncoder:
    torch.manual_seed(0)
    return PatchEncoder(
        size=size, channels=channels, patch=patch, layers=layers, heads=2, width=8, dropout=0.0
    ).double()


def by_loops(encoder: PatchEncoder, picture: Tensor, patch: int) -> Tensor:
    """One picture `[C, H, W]` -> tokens, from the encoder's tensors by name and the paper's equations 1 to 4."""
    given = dict(encoder.named_parameters())
    rows, columns = (math.ceil(side / patch) for side in picture.shape[1:])
    whole = torch.zeros(len(picture), rows * patch, columns * patch, dtype=picture.dtype)
    whole[:, : picture.shape[1], : picture.shape[2]] = picture
    x = torch.empty(rows * columns, 8, dtype=picture.dtype)
    for r in range(rows):
        for c in range(columns):
            part = whole[:, r * patch : (r + 1) * patch, c * patch : (c + 1) * patch]
            linear = (given["patches.weight"] * part).sum(dim=(1, 2, 3)) + given["patches.bias"]
            x[r * columns + c] = linear + given["context.places"][r * columns + c]
    for layer in range(2):
        block = {
            name.split(f"blocks.{layer}.")[-1]: value for name, value in given.items() if f"blocks.{layer}." in name
        }
        normed = F.layer_norm(x, (8,), block["attention_norm.weight"], block["attention_norm.bias"])
        query = normed @ block["attention.query.weight"].T + block["attention.query.bias"]
        key, value = (normed @ block["attention.key_value.weight"].T + block["attention.key_value.bias"]).split(
            8, dim=1
        )
        heads = []
        for head in (slice(0, 4), slice(4, 8)):
            weights = torch.softmax(query[:, head] @ key[:, head].T / math.sqrt(4), dim=1)
            heads.append(weights @ value[:, head])
        x = x + torch.cat(heads, dim=1) @ block["attention.output.weight"].T + block["attention.output.bias"]
        normed = F.layer_norm(x, (8,), block["mlp_norm.weight"], block["mlp_norm.bias"])
        hidden = F.gelu(normed @ block["mlp.0.weight"].T + block["mlp.0.bias"])
        x = x + hidden @ block["mlp.2.weight"].T + block["mlp.2.bias"]
    return F.layer_norm(x, (8,), given["context.norm.weight"], given["context.norm.bias"])


@pytest.mark.parametrize(("size", "patch"), [((8, 8), 4), ((9, 6), 4), ((5, 12), 3)])
def test_the_tokens_are_those_of_the_equations(size: tuple[int, int], patch: int) -> None:
    encoder = encoder_for(size, patch=patch)
    pictures = torch.randn(2, 3, *size, dtype=torch.float64)
    found = encoder({"pixels": pictures}).values
    for tokens, picture in zip(found, pictures, strict=True):
        torch.testing.assert_close(tokens, by_loops(encoder, picture, patch), rtol=0, atol=1e-10)


def test_the_map_is_the_tokens_in_their_places() -> None:
    encoder = encoder_for((9, 6))
    tokens = encoder({"pixels": torch.randn(2, 3, 9, 6, dtype=torch.float64)})
    (placed,) = tokens.maps
    assert encoder.output_grid == (3, 2)
    assert encoder.output_maps == ((8, 3, 2),)
    assert torch.equal(placed[1, :, 2, 1], tokens.values[1, 2 * 2 + 1])
    assert torch.equal(placed[0, :, 0, 1], tokens.values[0, 1])


def test_every_patch_sees_all_others_and_knows_its_place() -> None:
    encoder = encoder_for((8, 8), layers=1)
    picture = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    other = picture.clone()
    other[:, :, 7, 7] += 1
    changed = (encoder({"pixels": picture}).values != encoder({"pixels": other}).values).any(dim=2)
    assert changed.all()
    alike = encoder({"pixels": torch.ones(1, 3, 8, 8, dtype=torch.float64)}).values[0]
    assert len({tuple(token.tolist()) for token in alike}) == 4


def test_patches_are_as_large_as_256_of_them_need() -> None:
    found = {side: TransformerPatches().side((side, side)) for side in (3, 28, 64, 65, 128, 512)}
    assert found == {3: 4, 28: 4, 64: 4, 65: 8, 128: 8, 512: 32}
    picture = np.zeros((100, 100, 3), dtype=np.uint8)
    spec = Image.model_validate({"encoder": "vit"})
    assert spec.resolved(spec.fit([picture])).encoder == TransformerPatches(patch=8)


def test_heads_divide_the_width() -> None:
    with pytest.raises(ValidationError, match="the 4 heads of the vit must divide the width 30"):
        Image.model_validate({"encoder": "vit", "width": 30})
    with pytest.raises(ValidationError, match="'cnn', 'vit', 'hog', 'pretrained'"):
        Image.model_validate({"encoder": "resnet"})


def test_an_exported_graph_takes_any_number_of_pictures_and_blanks() -> None:
    spec = Image.model_validate({"encoder": "vit", "width": 8})
    encoder = spec.build(spec.fit([np.arange(16 * 12, dtype=np.uint8).reshape(16, 12)])).eval()
    graph = torch.export.export(
        Values(encoder), (torch.rand(5, 1, 16, 12),), dynamic_shapes=({0: torch.export.Dim.AUTO},)
    )
    pixels = torch.rand(3, 1, 16, 12)
    pixels[1] = 0
    torch.testing.assert_close(graph.module()(pixels), encoder({"pixels": pixels}).values, rtol=0, atol=1e-5)
    assert graph.module()(pixels).isfinite().all()


class Values(torch.nn.Module):
    """The tokens' values alone, which a graph can give."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.encoder({"pixels": pixels}).values
        return found
