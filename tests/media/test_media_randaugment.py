"""RandAugment: every operation beside Pillow's own, what is drawn, and that masks and boxes move with the picture."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageEnhance, ImageOps

import motet
from motet.core.seed import generator
from motet.inputs import Image
from motet.media import Framing, RandAugment, View
from motet.media.randaugment import MOVES, NAMES, Operation

CHANCE = np.random.default_rng(0)
PICTURES = {channels: CHANCE.integers(10, 240, (24, 16, channels)).astype(np.uint8) for channels in (1, 3)}
ALL = RandAugment(operations=2, magnitude=0.5)


def pillow(picture: np.ndarray) -> Pillow.Image:
    return Pillow.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)


def by_pillow(name: str, picture: np.ndarray, m: float) -> np.ndarray:
    """The operation at strength m, as the paper's own operations call Pillow."""
    flat, strength = pillow(picture), abs(m)
    found = {
        "identity": lambda: flat,
        "autocontrast": lambda: ImageOps.autocontrast(flat),
        "equalise": lambda: ImageOps.equalize(flat),
        "solarise": lambda: ImageOps.solarize(flat, round(256 - 256 * strength)),
        "posterise": lambda: ImageOps.posterize(flat, 8 - round(4 * strength)),
        "colour": lambda: ImageEnhance.Color(flat).enhance(1 + 0.9 * m),
        "contrast": lambda: ImageEnhance.Contrast(flat).enhance(1 + 0.9 * m),
        "brightness": lambda: ImageEnhance.Brightness(flat).enhance(1 + 0.9 * m),
        "sharpness": lambda: ImageEnhance.Sharpness(flat).enhance(1 + 0.9 * m),
    }[name]()
    return np.asarray(found).reshape(picture.shape)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("strength", [0.3, -0.3, 1.0])
@pytest.mark.parametrize("name", sorted(set(NAMES) - set(MOVES)))
def test_what_moves_nothing_is_what_pillow_makes_of_it(name: str, strength: float, channels: int) -> None:
    picture = PICTURES[channels]
    found = Operation(name, strength).on(picture)
    np.testing.assert_array_equal(found, by_pillow(name, picture, strength))
    assert found.dtype == picture.dtype
    assert (name == "identity" or (name == "colour" and channels == 1)) == np.array_equal(found, picture)


def moved_by_pillow(name: str, picture: np.ndarray, m: float) -> np.ndarray:
    """In a frame of repeated edges, so wide that what Pillow fills in is not seen; then the frame is cut off."""
    height, width, _ = picture.shape
    edge = 40
    flat = pillow(np.pad(picture, ((edge, edge), (edge, edge), (0, 0)), mode="edge"))
    x, y = width / 2 + edge, height / 2 + edge
    if name == "rotate":
        found = flat.rotate(30 * m)
    else:
        data = {
            "shear right": (1, -0.3 * m, 0.3 * m * y, 0, 1, 0),
            "shear down": (1, 0, 0, -0.3 * m, 1, 0.3 * m * x),
            "shift right": (1, 0, -0.45 * m * width, 0, 1, 0),
            "shift down": (1, 0, 0, 0, 1, -0.45 * m * height),
        }[name]
        found = flat.transform(flat.size, Pillow.Transform.AFFINE, data)
    return np.asarray(found).reshape(height + 2 * edge, width + 2 * edge, -1)[edge:-edge, edge:-edge]


@pytest.mark.parametrize("strength", [0.31, -0.31, 0.87])
@pytest.mark.parametrize("name", sorted(MOVES))
def test_what_moves_is_moved_as_by_pillow(name: str, strength: float) -> None:
    """Where the sides of a pixel are cut exactly, Pillow's fixed point and our rounding may take another neighbour."""
    picture = PICTURES[3]
    found = Operation(name, strength).on(picture)
    assert np.mean((found != moved_by_pillow(name, picture, strength)).any(axis=2)) < 0.01
    assert not np.array_equal(found, picture)
    np.testing.assert_array_equal(Operation(name, strength).moved(picture[:, :, 0]), found[:, :, 0])


def test_positive_strengths_lead_right_down_and_counter_clockwise() -> None:
    spot = np.zeros((21, 21), dtype=np.uint8)
    spot[5, 5] = 1
    assert np.argwhere(Operation("shift down", 1.0).moved(spot)).tolist() == [[14, 5]]  # by 0.45 * 21 = 9.45
    assert np.argwhere(Operation("shift right", 1.0).moved(spot)).tolist() == [[5, 14]]
    up = np.zeros((21, 21), dtype=np.uint8)
    up[9:12, 17:20] = 1
    assert np.argwhere(Operation("rotate", 1.0).moved(up)).mean(axis=0) == pytest.approx([6, 16.9], abs=0.5)


@given(st.integers(0, 999), st.integers(1, 4))
def test_nothing_is_done_at_magnitude_zero_and_nothing_drawn(seed: int, operations: int) -> None:
    framing = Framing(size=(24, 16), crop=0.0, flip=False, randaugment=RandAugment(operations=operations, magnitude=0))
    chance, other = np.random.default_rng(seed), np.random.default_rng(seed)
    view = framing.draw(chance)
    Framing(size=(24, 16), crop=0.0, flip=False).draw(other)
    assert chance.random() == other.random()
    assert not framing.varies
    np.testing.assert_array_equal(view.of_picture(PICTURES[3]), PICTURES[3])


def test_all_operations_are_drawn_alike_and_with_both_signs() -> None:
    drawn = [one for seed in range(1000) for one in ALL.draw(np.random.default_rng(seed))]
    counts = Counter(one.name for one in drawn)
    assert set(counts) == set(NAMES)
    assert len(NAMES) == 14
    assert max(abs(count - 2000 / 14) for count in counts.values()) < 4 * np.sqrt(2000 / 14)
    assert {one.strength for one in drawn} == {0.5, -0.5}
    assert abs(np.mean([one.strength > 0 for one in drawn]) - 0.5) < 0.05


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from([(1, 1), (2, 3), (9, 7), (24, 16)]), st.sampled_from([1, 3]))
def test_a_picture_of_any_size_keeps_shape_and_type_and_is_a_function_of_the_generator(
    seed: int, size: tuple[int, int], channels: int
) -> None:
    preparation = Image.model_validate({"size": size, "channels": channels, "augment": "randaugment", "jitter": 0.2})
    picture = PICTURES[3][: size[0], : size[1]]
    fitted = preparation.fit([picture])
    item = fitted.read(picture)
    once, again = (fitted.augment(item, generator(seed)) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert once.shape == (*size, channels)
    assert once.dtype == np.uint8


@given(st.integers(0, 999))
def test_a_mask_moves_with_its_picture_and_is_not_recoloured(seed: int) -> None:
    """A picture that is its own mask: every place shows a value the mask has, and moves alone make both the same."""
    rows, columns = np.mgrid[:24, :16]
    mask = ((rows > 11) + 2 * (columns > 7)).astype(np.uint8)
    framing = Framing(size=(24, 16), crop=0.2, flip=True, zoom=0.2, randaugment=ALL)
    view = framing.draw(generator(seed))
    assert view == framing.draw(generator(seed))
    seen = view.of(mask)
    assert set(np.unique(seen)) <= {0, 1, 2, 3}
    only_moves = View(
        view.down, view.right, view.mirrored, view.zoom, tuple(one for one in view.operations if one.moves)
    )
    np.testing.assert_array_equal(only_moves.of_picture(mask[:, :, None])[:, :, 0], seen)


@settings(max_examples=60)
@given(st.integers(0, 999), st.integers(8, 20), st.integers(8, 40))
def test_boxes_are_seen_where_what_is_in_them_is(seed: int, top: int, left: int) -> None:
    """The box around a rectangle that stays inside, to within a pixel."""
    size = (40, 60)
    item = np.zeros(size, dtype=np.uint8)
    item[top : top + 8, left : left + 12] = 1
    view = Framing(size=size, crop=0.0, flip=True, randaugment=RandAugment(magnitude=0.3)).draw(generator(seed))
    x0, y0, x1, y1 = view.of_boxes(np.array([[left / 60, top / 40, (left + 12) / 60, (top + 8) / 40]]), size)[0]
    if min(x0, y0) < 0 or max(x1, y1) > 1:
        return
    seen = view.of(item)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    found = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    twice = sum(one.moves for one in view.operations) > 1  # the box around a turned box is larger than what is in it
    expected = np.array([x0 * 60, y0 * 40, x1 * 60, y1 * 40])
    assert (np.abs(found - expected) <= (6 if twice else 1.5)).all()
    assert (found[:2] >= expected[:2] - 1.5).all()
    assert (found[2:] <= expected[2:] + 1.5).all()


def test_a_model_of_rows_and_pixels_is_trained_with_it(tmp_path: Path) -> None:
    rows = ["photo,mask,bright"]
    for number in range(24):
        mask = np.zeros((12, 12), dtype=np.uint8)
        mask[:, : 3 + number % 7] = 1
        bright = bool(number % 2)
        Pillow.fromarray((mask * (200 if bright else 90)).astype(np.uint8)).save(tmp_path / f"photo{number}.png")
        Pillow.fromarray(mask).save(tmp_path / f"mask{number}.png")
        rows.append(f"photo{number}.png,mask{number}.png,{bright}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    experiment = {
        "data": {"train": str(tmp_path / "table.csv"), "valid": 0.2, "test": 0.2},
        "inputs": {"photo": {"kind": "image", "first": 4, "width": 8, "augment": {"operations": 1}}},
        "tasks": {"bright": "binary", "mask": {"kind": "segmentation", "of": "photo"}},
        "training": {"epochs": 2, "batch_size": 8},
    }
    run = motet.fit(experiment, out=tmp_path / "run")
    assert run.report["mask"]["miou"].value is not None
    assert motet.load(run.folder).predict([{"photo": (tmp_path / "photo1.png").read_bytes()}])[0]["mask"] is not None
