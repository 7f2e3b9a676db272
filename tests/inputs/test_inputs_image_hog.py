"""Histograms of oriented gradients: pixel by pixel in loops, by hand, and what they do not see."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from pydantic import ValidationError

import motet
from motet.inputs import Image
from motet.inputs.image import HistogramEncoder, HistogramLayers


def encoder_for(size: tuple[int, int], *, cell: int = 4, bins: int = 9, channels: int = 1) -> HistogramEncoder:
    deviation = (255.0,) * channels
    encoder = HistogramEncoder(size=size, cell=cell, bins=bins, deviation=deviation, width=6, dropout=0.0)
    return encoder.double().eval()


def by_loops(x: np.ndarray, cell: int, bins: int) -> np.ndarray:
    """Pictures `[C, H, W]` -> blocks `[h, w, 2, 2, bins]`, with the loops of scikit-image's program."""
    _, height, width = x.shape
    rows, columns = height // cell, width // cell
    votes = np.zeros((rows, columns, bins))
    for r in range(rows * cell):
        for c in range(columns * cell):
            longest, angle = 0.0, 0.0
            for plane in x:
                down = plane[r + 1, c] - plane[r - 1, c] if 0 < r < height - 1 else 0.0
                right = plane[r, c + 1] - plane[r, c - 1] if 0 < c < width - 1 else 0.0
                if math.hypot(down, right) > longest:
                    longest, angle = math.hypot(down, right), math.degrees(math.atan2(down, right)) % 180
            votes[r // cell, c // cell, min(int(angle // (180 / bins)), bins - 1)] += longest / cell**2
    found = np.zeros((rows - 1, columns - 1, 2, 2, bins))
    for r in range(rows - 1):
        for c in range(columns - 1):
            block = votes[r : r + 2, c : c + 2]
            block = np.minimum(block / math.sqrt((block**2).sum() + 1e-10), 0.2)
            found[r, c] = block / math.sqrt((block**2).sum() + 1e-10)
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(2, 12), st.sampled_from([1, 3]))
def test_blocks_are_those_of_loops_over_pixels(seed: int, cell: int, bins: int, channels: int) -> None:
    chance = np.random.default_rng(seed)
    size = (int(chance.integers(2 * cell, 17)), int(chance.integers(2 * cell, 17)))
    x = chance.random((channels, *size))
    encoder = encoder_for(size, cell=cell, bins=bins, channels=channels)
    found = encoder.blocks(torch.from_numpy(x)[None])[0]
    expected = by_loops(x, cell, bins)
    assert found.shape == (4 * bins, *encoder.grid)
    ordered = found.reshape(2, 2, bins, *encoder.grid).permute(3, 4, 0, 1, 2)
    np.testing.assert_allclose(ordered.numpy(), expected, rtol=0, atol=1e-9)


def test_a_vertical_edge_by_hand() -> None:
    """Two columns of differences 1 at angle 0, one in each cell."""
    x = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    x[..., 2:] = 1
    encoder = encoder_for((4, 4), cell=2, bins=4)
    votes = encoder.histograms(x)[0]
    np.testing.assert_allclose(votes[0].numpy(), 0.5)
    assert not votes[1:].any()
    blocks = encoder.blocks(x)[0, :, 0, 0].reshape(4, 4)
    np.testing.assert_allclose(blocks[:, 0].numpy(), 0.5, atol=1e-6)  # 4 votes alike, clipped or not: of length 1
    assert not blocks[:, 1:].any()


@pytest.mark.parametrize(("dy", "dx", "where"), [(0, 1, 0), (1, 1, 2), (1, 0, 4), (1, -1, 6), (0, -1, 0), (-1, -1, 2)])
def test_a_slope_votes_for_its_direction_and_not_for_its_sign(dy: int, dx: int, where: int) -> None:
    """Nine bins of 20 degrees: 0, 45, 90 and 135 degrees."""
    rows, columns = np.mgrid[:12, :12]
    x = torch.from_numpy((dy * rows + dx * columns) / 24.0)[None, None]
    inside = encoder_for((12, 12), cell=4, bins=9).histograms(x)[0, :, 1, 1]
    assert inside.argmax() == where
    assert (inside > 0).sum() == 1


def test_light_and_contrast_are_not_seen_and_blanks_are_finite() -> None:
    x = torch.from_numpy(np.random.default_rng(0).random((1, 1, 16, 16)))
    encoder = encoder_for((16, 16))
    np.testing.assert_allclose(encoder.blocks(0.3 * x + 0.5).numpy(), encoder.blocks(x).numpy(), atol=1e-6)
    flat = torch.zeros(1, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    blocks = encoder.blocks(flat)
    assert not blocks.any()
    blocks.sum().backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()


def test_the_gradient_to_the_pixels_is_that_of_the_blocks() -> None:
    x = torch.from_numpy(np.random.default_rng(1).random((1, 1, 8, 8))).requires_grad_()
    assert torch.autograd.gradcheck(encoder_for((8, 8), bins=3).blocks, x, eps=1e-7, atol=1e-4)


def test_pixels_count_as_they_were_before_they_were_standardised() -> None:
    """Of a faint red and a strong blue edge the blue one counts, although red was divided by less."""
    picture = np.zeros((16, 16, 3), dtype=np.uint8)
    picture[8:, :, 0], picture[:, 8:, 2] = 20, 200
    spec = Image.model_validate({"encoder": {"kind": "hog", "cell": 8}, "width": 6})
    preparation = spec.fit([picture])
    encoder = spec.build(preparation)
    assert isinstance(encoder, HistogramEncoder)
    pixels = preparation.batch([preparation.read(picture)])["pixels"]
    (found,) = encoder({"pixels": pixels}).maps
    expected = by_loops(picture.transpose(2, 0, 1) / 255, 8, 9)[0, 0]
    np.testing.assert_allclose(found[0, :, 0, 0].numpy(), expected.reshape(-1), atol=1e-5)


@pytest.mark.parametrize(("size", "grid"), [((1, 1), (1, 1)), ((7, 7), (1, 1)), ((8, 30), (1, 2)), ((17, 24), (1, 2))])
def test_small_pictures_have_a_block_too(size: tuple[int, int], grid: tuple[int, int]) -> None:
    encoder = encoder_for(size, cell=8)
    tokens = encoder({"pixels": torch.rand(2, 1, *size, dtype=torch.float64)})
    assert encoder.output_grid == grid
    assert tokens.values.shape == (2, math.prod(grid), 6)
    assert tuple(tokens.maps[0].shape[1:]) == encoder.output_maps[0]


def test_only_the_linear_map_is_learned() -> None:
    names = {name for name, _ in encoder_for((16, 16)).named_parameters()}
    assert names == {"gain", "project.weight", "project.bias"}
    with pytest.raises(ValidationError):
        HistogramLayers(cell=1)


@pytest.mark.parametrize("encoder", ["hog", "vit"])
def test_stripes_are_told_apart_and_found_in_the_picture(tmp_path: Path, encoder: str) -> None:
    """The direction of stripes, and a mask of the half they are in: a task of rows and one of pixels."""
    chance, rows = np.random.default_rng(0), []
    for number in range(48):
        stripes = np.tile((np.arange(16) // 2 % 2 * 200).astype(np.uint8), (16, 1))
        lying, left = bool(number % 2), bool(number // 2 % 2)
        picture = chance.integers(0, 30, (16, 16)).astype(np.uint8)
        half = np.s_[:, :8] if left else np.s_[:, 8:]
        picture[half] += (stripes.T if lying else stripes)[half]
        mask = np.zeros((16, 16), dtype=np.uint8)
        mask[half] = 1
        for name, array in (("photo", picture), ("mask", mask)):
            Pillow.fromarray(array).save(tmp_path / f"{name}{number}.png")
        rows.append(f"photo{number}.png,mask{number}.png,{lying}")
    (tmp_path / "stripes.csv").write_text("\n".join(["photo,half,lying", *rows]))
    kind: dict[str, Any] = {"hog": {"kind": "hog", "cell": 4}, "vit": {"kind": "vit", "layers": 1, "heads": 2}}
    experiment = {
        "data": {"train": str(tmp_path / "stripes.csv"), "valid": 0.2, "test": 0.2},
        "inputs": {"photo": {"kind": "image", "encoder": kind[encoder], "width": 16, "crop": 0.0}},
        "tasks": {"lying": "binary", "half": {"kind": "segmentation", "of": "photo"}},
        "fusion": {"kind": "concat", "width": 16},
        "training": {"epochs": 12, "batch_size": 8, "learning_rate": 0.02},
    }
    run = motet.fit(experiment, out=tmp_path / "run")
    assert run.report["lying"]["auroc"].value > 0.9
    assert run.report["half"]["miou"].value > 0.8
    answers = motet.load(run.folder).predict([{"photo": (tmp_path / "photo0.png").read_bytes()}, {"photo": None}])
    assert str(answers[0]["lying"]) == "False"
