"""Every kind of input says what a worse source would have given: graded, within what its encoder can read."""

from typing import Any

import numpy as np
import pytest
import torch

from motet import inputs
from motet.inputs.base import InputSpec, Preparation, noisy
from motet.spec import ROOMS
from motet.testing.examples import input_cells

CASES: dict[str, tuple[InputSpec, list[Any]]] = {
    **{kind: (cls(), input_cells(kind)) for kind, cls in ROOMS["inputs"].items()},
    "category": (inputs.Category(min_count=1), ["red", "green", "blue"]),
    "set": (inputs.Set(), ["a|b|c|d", "b|c|d", "a|b|c", "a|d"]),
    "labels": (inputs.Series(values="categories"), [["a", "b", "a", "c"], ["c", "b", "b"], ["a", "c"]]),
    "times": (inputs.Series(times=True), [[[0, 1], [1, 5], [2, 9]], [[0, 4], [1, 3], [3, 2]]]),
    "terms": (inputs.Text(encoder="tfidf"), ["a short text of words", "words of another text", "a text of words"]),
    "mfcc": (inputs.Audio(encoder="mfcc"), input_cells("audio")),
    "pictures": (
        inputs.Image(size=(8, 8)),
        [(one, other) for one in input_cells("image")[:1] for other in input_cells("image")[:3]],
    ),
}


def prepared(name: str) -> tuple[Preparation, list[np.ndarray]]:
    spec, cells = CASES[name]
    preparation = spec.fit(cells)
    return preparation, [preparation.read(cell) for cell in cells]


def worse(preparation: Preparation, items: list[np.ndarray], level: float, seed: int = 0) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [preparation.distorted(one, level, draw, other=items[place - 1]) for place, one in enumerate(items)]


@pytest.mark.parametrize("name", list(CASES))
def test_nothing_changes_at_level_0_and_something_at_1(name: str) -> None:
    preparation, items = prepared(name)
    for one, other in zip(items, worse(preparation, items, 0.0), strict=True):
        np.testing.assert_allclose(one, other)
    changed = worse(preparation, items, 1.0)
    assert any(one.shape != other.shape or (one != other).any() for one, other in zip(items, changed, strict=True))
    assert all(one.dtype == other.dtype and one.ndim == other.ndim for one, other in zip(items, changed, strict=True))


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("level", [0.5, 1.0])
def test_the_encoder_reads_what_is_left(name: str, level: float) -> None:
    preparation, items = prepared(name)
    encoder = CASES[name][0].resolved(preparation).build(preparation).eval()
    for seed in range(5):
        tokens = encoder(preparation.batch(worse(preparation, items, level, seed)))
        assert bool(torch.isfinite(tokens.values).all())


def test_what_was_given_is_left_as_it_is() -> None:
    for name in CASES:
        preparation, items = prepared(name)
        before = [one.copy() for one in items]
        worse(preparation, items, 1.0)
        assert all((one == other).all() for one, other in zip(items, before, strict=True))


def test_a_number_is_as_far_off_as_the_column_is_wide() -> None:
    preparation = inputs.Number().fit([0.0, 10.0])
    draw, zero = np.random.default_rng(0), np.array(5.0)
    found = np.array([preparation.distorted(zero, 0.5, draw, other=zero) for _ in range(4000)])
    assert found.std() == pytest.approx(0.5 * 5, rel=0.05)
    assert found.mean() == pytest.approx(5, abs=0.2)


def test_each_place_of_a_vector_has_noise_of_its_own_size() -> None:
    preparation = inputs.Vector().fit(["0|0", "2|200"])
    item, draw = preparation.read("1|100"), np.random.default_rng(0)
    found = np.stack([preparation.distorted(item, 1.0, draw, other=item) for _ in range(4000)])
    assert found.std(axis=0) == pytest.approx([1, 100], rel=0.05)


def test_a_category_is_that_of_another_row_as_often_as_the_level_says() -> None:
    preparation, (red, green, _) = prepared("category")
    draw = np.random.default_rng(0)
    found = [int(preparation.distorted(red, 0.3, draw, other=green)) for _ in range(3000)]
    assert set(found) == {int(red), int(green)}
    assert np.mean(np.array(found) == int(green)) == pytest.approx(0.3, abs=0.03)


def test_a_set_and_a_text_lose_members_and_keep_the_order_of_the_rest() -> None:
    for name, least in (("set", 0), ("text", 1)):  # a text keeps its start
        preparation, items = prepared(name)
        draw = np.random.default_rng(0)
        lengths = []
        for _ in range(500):
            left = preparation.distorted(items[0], 0.4, draw, other=items[1])
            rest = iter(items[0].tolist())
            assert all(one in rest for one in left.tolist())
            lengths.append(len(left) - least)
        assert np.mean(lengths) == pytest.approx(0.6 * (len(items[0]) - least), rel=0.1)
        assert len(preparation.distorted(items[0], 1.0, draw, other=items[1])) == least


def test_a_date_stays_within_the_range_of_training_on_both_clocks() -> None:
    preparation, items = prepared("datetime")
    draw, first = np.random.default_rng(0), [float(one[0]) for one in items]
    for _ in range(200):
        found = preparation.distorted(items[1], 1.0, draw, other=items[0])
        assert min(first) <= found[0] <= max(first)
        assert found[1] - found[0] == pytest.approx(items[1][1] - items[1][0])


def test_the_times_of_a_series_stay() -> None:
    preparation, items = prepared("times")
    found = worse(preparation, items, 1.0)[0]
    assert (found[:, 0] == items[0][:, 0]).all()
    assert (found[:, 1] != items[0][:, 1]).all()


def test_labels_of_a_series_are_those_of_another() -> None:
    preparation, items = prepared("labels")
    found = preparation.distorted(items[0], 1.0, np.random.default_rng(0), other=items[1])
    assert set(found[:, 0]) <= set(items[1][:, 0])


def test_pixels_stay_pixels() -> None:
    found = noisy(np.array([0, 255], dtype=np.uint8), 1000.0, np.random.default_rng(0))
    assert found.dtype == np.uint8
    assert set(found.tolist()) <= set(range(256))
