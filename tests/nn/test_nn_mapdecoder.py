"""The decoder of maps: its equation, the pixels a cell stands for, and that the features are heard."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motet.nn.mapdecoder import MapDecoder
from motet.testing import suite

MAPS = [(4, 6, 5), (8, 3, 3), (8, 2, 2)]


def decoder(size: tuple[int, int] = (11, 10), outputs: int = 3, width: int = 4) -> MapDecoder:
    made: MapDecoder = suite.seeded(lambda: MapDecoder(MAPS, features=7, width=width, outputs=outputs, size=size))
    return made


def maps(rows: int = 2) -> list[Tensor]:
    chance = torch.Generator().manual_seed(0)
    return [torch.randn(rows, *shape, generator=chance) for shape in MAPS]


def bilinear(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Between the middles of the cells, by loops; beyond the outermost middles, these."""
    out = torch.zeros(*x.shape[:2], *size)
    for i in range(size[0]):
        for j in range(size[1]):
            y = min(max((i + 0.5) * x.shape[2] / size[0] - 0.5, 0), x.shape[2] - 1)
            z = min(max((j + 0.5) * x.shape[3] / size[1] - 0.5, 0), x.shape[3] - 1)
            for row in (math.floor(y), math.floor(y) + 1):
                for column in (math.floor(z), math.floor(z) + 1):
                    share = (1 - abs(y - row)) * (1 - abs(z - column))
                    if share > 0:
                        out[:, :, i, j] += share * x[:, :, row, column]
    return out


def test_the_equation() -> None:
    one, given, features = decoder(), maps(), torch.randn(2, 7, generator=torch.Generator().manual_seed(1))
    x = (
        torch.einsum("oc,bchw->bohw", one.coarsest.weight[:, :, 0, 0], given[2])
        + one.coarsest.bias[None, :, None, None]
    )
    x = x + torch.einsum("od,bd->bo", one.told.weight, features)[:, :, None, None]
    for place in (1, 0):
        x = one.blocks[place](torch.cat([bilinear(x, MAPS[place][1:]), given[place]], dim=1))
    cells = F.conv2d(x, one.last.weight, one.last.bias, padding=1)
    expected = torch.zeros(2, 3, 12, 10)
    for output in range(3):
        for y in range(12):
            for z in range(10):
                channel = output * 4 + (y % 2) * 2 + z % 2
                expected[:, output, y, z] = cells[:, channel, y // 2, z // 2]
    torch.testing.assert_close(one(given, features), expected[:, :, :11], rtol=1e-5, atol=1e-5)


def test_unfolding_is_that_of_pixel_shuffle_where_both_factors_agree() -> None:
    one, x = decoder((12, 10)), torch.randn(2, 12, 6, 5)
    torch.testing.assert_close(one._unfolded(x), nn.PixelShuffle(2)(x))


@pytest.mark.parametrize("size", [(6, 5), (11, 10), (6, 9), (17, 15), (24, 5)])
def test_every_size_of_picture_is_filled_from_its_own_cells(size: tuple[int, int]) -> None:
    one = decoder(size)
    assert one(maps(), torch.zeros(2, 7)).shape == (2, 3, *size)
    cells = torch.arange(30.0).reshape(1, 1, 6, 5).expand(1, one.last.out_channels, 6, 5)
    found = one._unfolded(cells)[0, 0]
    down, right = one.factors
    for y in range(size[0]):
        for x in range(size[1]):
            assert found[y, x] == (y // down) * 5 + x // right


def test_channels_are_between_the_width_and_four_times_it() -> None:
    assert [block.second.out_channels for block in decoder(width=6).blocks] == [6, 8]
    assert decoder(width=1).coarsest.out_channels == 4


def test_features_are_heard_in_every_pixel() -> None:
    one, given = decoder(), maps()
    first, second = one(given, torch.zeros(2, 7)), one(given, torch.ones(2, 7))
    assert bool((first != second).all())


def test_a_decoder_that_starts_from_outputs_says_nearly_those() -> None:
    one, wanted = decoder(), torch.tensor([1.0, -2.0, 0.5])
    one.start_from(wanted, scale=0.0)
    found = one(maps(), torch.zeros(2, 7))
    torch.testing.assert_close(found, wanted[None, :, None, None].expand_as(found))


def test_rows_are_alone_and_every_parameter_learns() -> None:
    one, given, features = decoder(), maps(), torch.randn(2, 7)
    whole = one(given, features)
    suite.assert_close(one([each[1:] for each in given], features[1:])[0], whole[1], "a row by itself")
    suite.assert_all_learn(one, suite.projected([whole]))


def test_one_map_is_enough() -> None:
    one = MapDecoder([(4, 2, 2)], features=3, width=4, outputs=1, size=(5, 4))
    assert one([torch.zeros(1, 4, 2, 2)], torch.zeros(1, 3)).shape == (1, 1, 5, 4)
