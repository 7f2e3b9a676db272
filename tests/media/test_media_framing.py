"""Framings: what is drawn, and that whatever lies over a picture is framed as the picture is."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from motet.inputs import Image
from motet.media import Framing

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
    places = Framing(size=size, crop=crop, flip=flip).draw(np.random.default_rng(seed))
    np.testing.assert_array_equal(places.of(item), expected)


def test_the_preparation_of_pictures_frames_as_it_says() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    preparation = Image(crop=0.3, flip=True).fit([picture])
    for seed in range(20):
        found = preparation.augment(picture, np.random.default_rng(seed))
        places = preparation.framing.draw(np.random.default_rng(seed))
        np.testing.assert_array_equal(found, places.of(picture))


def test_without_mirroring_the_shifts_alone_are_drawn() -> None:
    chance = np.random.default_rng(0)
    Framing(size=(4, 4), crop=0.5, flip=False).draw(chance)
    other = np.random.default_rng(0)
    other.integers(-2, 3), other.integers(-2, 3)
    assert chance.random() == other.random()
    assert not Framing(size=(4, 4), crop=0.0, flip=False).varies
    assert Framing(size=(4, 4), crop=0.0, flip=True).varies
