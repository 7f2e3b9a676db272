"""Images: size, channels, augmentation, and a map that ends small."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from motet.core.errors import CellError
from motet.core.seed import generator
from motet.inputs import Image, ImageEncoder
from motet.inputs.image.encoder import halvings, last_map

GREY = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10)


def test_size_and_channels_are_the_files_own_but_capped() -> None:
    pictures = [np.zeros(shape, dtype=np.uint8) for shape in [(300, 200), (256, 128), (100, 100, 3)]]
    preparation = Image().fit(pictures)
    assert (preparation.size, preparation.channels) == ((128, 64), 3)
    assert Image().fit(pictures[:2]).channels == 1


def test_path_bytes_and_array_are_read_the_same(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Pillow.fromarray(GREY).save(buffer, format="PNG")
    (tmp_path / "grey.png").write_bytes(buffer.getvalue())
    preparation = Image(size=(6, 5)).fit([GREY])
    read = [preparation.read(cell) for cell in (GREY, buffer.getvalue(), tmp_path / "grey.png", Pillow.fromarray(GREY))]
    assert all(np.array_equal(read[0], other) for other in read)
    assert read[0].shape == (6, 5, 1)
    assert read[0].dtype == np.dtype(np.uint8)


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    assert np.array_equal(Image().fit([GREY]).read(GREY)[:, :, 0], GREY)


def test_shrinking_averages() -> None:
    stripes = np.tile(np.array([0, 200], dtype=np.uint8), (16, 8))
    assert abs(Image(size=(4, 4)).fit([stripes]).read(stripes).astype(int) - 100).max() <= 15


def test_colours_become_grey_by_luma_and_grey_becomes_colour() -> None:
    red = np.zeros((4, 4, 3), dtype=np.uint8)
    red[..., 0] = 255
    assert (Image(channels=1).fit([red]).read(red) == 76).all()
    assert (Image(channels=3).fit([GREY]).read(GREY) == GREY[:, :, None]).all()


def test_pixels_are_normalised_channel_by_channel() -> None:
    pictures = [np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8) for seed in range(4)]
    preparation = Image().fit(pictures)
    pixels = preparation.batch([preparation.read(picture) for picture in pictures])["pixels"]
    torch.testing.assert_close(pixels.mean(dim=(0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(pixels.std(dim=(0, 2, 3), correction=0), torch.ones(3))


def test_a_shift_moves_the_picture_and_repeats_its_edge() -> None:
    preparation = Image(crop=0.2).fit([GREY])
    item = preparation.read(GREY)
    padded = np.pad(item, ((2, 2), (2, 2), (0, 0)), mode="edge")
    crops = [padded[y : y + 12, x : x + 10] for y in range(5) for x in range(5)]
    seen = {
        next(
            place
            for place, crop in enumerate(crops)
            if np.array_equal(crop, preparation.augment(item, generator(draw)))
        )
        for draw in range(300)
    }
    assert seen == set(range(25))


def test_flip_mirrors_half_of_the_pictures() -> None:
    preparation = Image(crop=0, flip=True).fit([GREY])
    item = preparation.read(GREY)
    varied = [preparation.augment(item, generator(draw)) for draw in range(200)]
    mirrored = [np.array_equal(other, item[:, ::-1]) for other in varied]
    assert all(np.array_equal(other, item) for other, flipped in zip(varied, mirrored, strict=True) if not flipped)
    assert 60 < sum(mirrored) < 140


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (8, 8), (28, 28), (32, 20), (128, 128), (128, 3), (300, 200)])
def test_the_map_ends_at_four_or_less(size: tuple[int, int]) -> None:
    encoder = ImageEncoder(size=size, channels=1, first=4, width=8, dropout=0)
    cells = encoder({"pixels": torch.zeros(1, 1, *size)}).values.shape[1]
    assert cells == math.prod(last_map(size, halvings(size))) <= 16
    assert cells >= 9 or min(size) < 5


def test_a_damaged_picture_is_refused() -> None:
    with pytest.raises(CellError):
        Image().fit([GREY]).read(b"no picture")
