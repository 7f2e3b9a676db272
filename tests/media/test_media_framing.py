"""Framings: what is drawn, and that whatever lies over a picture is framed as the picture is."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from motet.inputs import Image
from motet.media import Framing, View, relit

SIDES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(SIDES, st.floats(0, 0.9), st.booleans(), st.integers(0, 99))
def test_shift_and_mirror_are_those_of_the_equation(size: tuple[int, int], crop: float, flip: bool, seed: int) -> None:
    """The draws written out: a shift of the rows, one of the columns, then whether to mirror."""
    chance = np.random.default_rng(seed)
    down, right = (int(chance.integers(-round(crop * side), round(crop * side) + 1)) for side in size)
    mirrored = bool(flip and chance.random() < 0.5)
    item = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    expected = np.zeros_like(item)
    for y in range(size[0]):
        for x in range(size[1]):
            from_x = size[1] - 1 - x if mirrored else x
            row, column = min(max(y + down, 0), size[0] - 1), min(max(from_x + right, 0), size[1] - 1)
            expected[y, x] = item[row, column]
    view = Framing(size=size, crop=crop, flip=flip).draw(np.random.default_rng(seed))
    np.testing.assert_array_equal(view.of(item), expected)


@given(SIDES, st.integers(-3, 3), st.integers(-3, 3), st.floats(0.3, 1.9))
def test_an_enlarged_picture_shows_what_the_equation_says(
    size: tuple[int, int], down: int, right: int, zoom: float
) -> None:
    item = np.arange(size[0] * size[1]).reshape(size)
    seen = View(down, right, zoom=zoom).of(item)
    for y in range(size[0]):
        for x in range(size[1]):
            row, column = (
                min(max(int(np.floor((to + 0.5 - side / 2) / zoom + side / 2)) + by, 0), side - 1)
                for to, side, by in ((y, size[0], down), (x, size[1], right))
            )
            assert seen[y, x] == item[row, column]


@given(st.integers(0, 12), st.integers(0, 28), st.integers(0, 99))
def test_boxes_are_seen_where_what_is_in_them_is(top: int, left: int, seed: int) -> None:
    """A rectangle in a picture, and its box; to within a pixel, where the picture is not cut off."""
    item = np.zeros((20, 40), dtype=np.uint8)
    item[top : top + 8, left : left + 12] = 1
    view = Framing(size=item.shape, crop=0.2, flip=True, zoom=0.5).draw(np.random.default_rng(seed))
    x0, y0, x1, y1 = view.of_boxes(np.array([[left / 40, top / 20, (left + 12) / 40, (top + 8) / 20]]), (20, 40))[0]
    rows, columns = np.flatnonzero(view.of(item).any(axis=1)), np.flatnonzero(view.of(item).any(axis=0))
    if len(rows) and 0 < top < 12 and 0 < left < 28:
        found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        expected = np.clip([x0 * 40, y0 * 20, x1 * 40, y1 * 20], 0, [40, 20, 40, 20])
        assert np.abs(np.array(found) - expected).max() <= 1


def test_another_light_by_hand() -> None:
    picture = np.array([[[10, 20, 30], [200, 100, 50]]], dtype=np.uint8)
    light, weights = np.random.default_rng(3).uniform(0.5, 1.5, size=3), np.array([0.299, 0.587, 0.114])
    x = picture * light[0]
    x = light[1] * x + (1 - light[1]) * (x @ weights).mean()
    x = light[2] * x + (1 - light[2]) * (x @ weights)[:, :, None]
    found = relit(picture, np.random.default_rng(3), jitter=0.5)
    assert found.dtype == np.uint8
    assert np.abs(found - x.clip(0, 255)).max() <= 0.51
    np.testing.assert_array_equal(relit(picture, np.random.default_rng(3), jitter=0.0), picture)
    grey = relit(picture[:, :, :1], np.random.default_rng(3), jitter=0.5)
    assert grey.shape == (1, 2, 1)


def test_light_changes_pictures_and_leaves_what_lies_over_them() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    preparation = Image(crop=0.3, flip=True, zoom=0.2, jitter=0.5).fit([picture])
    assert preparation.varies
    for seed in range(20):
        found = preparation.augment(picture, np.random.default_rng(seed))
        chance = np.random.default_rng(seed)
        view = preparation.framing.draw(chance)
        np.testing.assert_array_equal(found, relit(view.of(picture), chance, jitter=0.5))


def test_the_preparation_of_pictures_frames_as_it_says() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    preparation = Image(crop=0.3, flip=True).fit([picture])
    for seed in range(20):
        found = preparation.augment(picture, np.random.default_rng(seed))
        view = preparation.framing.draw(np.random.default_rng(seed))
        np.testing.assert_array_equal(found, view.of(picture))


def test_without_mirroring_the_shifts_alone_are_drawn() -> None:
    chance = np.random.default_rng(0)
    Framing(size=(4, 4), crop=0.5, flip=False).draw(chance)
    other = np.random.default_rng(0)
    other.integers(-2, 3), other.integers(-2, 3)
    assert chance.random() == other.random()
    assert not Framing(size=(4, 4), crop=0.0, flip=False).varies
    assert Framing(size=(4, 4), crop=0.0, flip=True).varies
