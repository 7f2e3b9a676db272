"""A depth per pixel: labels in units, the loss by hand, its invariance, scores, answers, and what is refused."""

import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import root_mean_squared_error

from motet import inputs
from motet.core.errors import CellError, DataError
from motet.core.flow import Cells
from motet.media import plane, plane_npy
from motet.tasks import Depth, DepthCodec

PICTURE = np.random.default_rng(0).integers(0, 256, (2, 3, 3)).astype(np.uint8)
DEPTHS = np.array([[1500, 0, 250], [65535, 1000, 1]], dtype=np.uint16)
METRES = np.array([[1.5, 0, 0.25], [65.535, 1.0, 0.001]], dtype=np.float32)


def codec(labels: Any = (DEPTHS,), size: tuple[int, int] = (2, 3), **changes: Any) -> DepthCodec:
    picture = inputs.Image(size=size, crop=0.0).fit([PICTURE])
    return Depth(of="photo", **changes).fit(list(labels), {"photo": picture})


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_whole_numbers_are_scaled_and_others_are_in_units() -> None:
    out = io.BytesIO()
    Image.fromarray(DEPTHS).save(out, "PNG")
    one = codec(scale=0.001)
    np.testing.assert_allclose(one.read(out.getvalue()), METRES)
    np.testing.assert_array_equal(one.read(plane_npy(METRES)), METRES)
    assert one.read(DEPTHS).dtype == np.float32


def test_what_is_no_depth_is_not_known() -> None:
    found = codec().read(np.array([[np.nan, np.inf, -1.0], [0.0, 1e300, 2.5]]))
    assert found.tolist() == [[0, 0, 0], [0, 0, 2.5]]


def test_a_map_of_another_size_takes_its_nearest_numbers_and_makes_none_up() -> None:
    assert codec(size=(1, 2)).read([[1.0, 9.0, 0.0, 4.0]]).tolist() == [[9.0, 4.0]]


@pytest.mark.parametrize("labels", [[], [b"no picture"], [np.zeros((2, 2))], [np.full((2, 2), np.nan)]])
def test_nothing_to_learn_from_is_said_at_once(labels: Any) -> None:
    with pytest.raises(DataError, match="no training row has a map with a positive number"):
        codec(labels)


def test_a_picture_of_colours_is_refused() -> None:
    with pytest.raises(CellError, match="expected an array of numbers"):
        codec().read(np.zeros((2, 2, 3)))


@given(st.integers(0, 50), st.floats(0, 1))
def test_the_loss_is_the_scale_invariant_error(seed: int, invariance: float) -> None:
    said, depth = random(seed, 3, 1, 2, 4), random(seed + 1, 3, 2, 4).exp()
    depth[random(seed + 2, 3, 2, 4) > 0.5] = 0
    depth[2] = 0
    spec = Depth(invariance=invariance)
    found = spec.loss(said, Cells({"target": depth}, torch.ones(3, dtype=torch.bool)))
    for row in range(3):
        apart = [
            float(said[row, 0, y, x]) - math.log(float(depth[row, y, x]))
            for y in range(2)
            for x in range(4)
            if depth[row, y, x] > 0
        ]
        n = len(apart)
        expected = sum(d * d for d in apart) / n - invariance * sum(apart) ** 2 / n**2 if n else 0.0
        assert found[row].item() == pytest.approx(expected, abs=1e-4)


def test_of_full_invariance_a_common_factor_costs_nothing() -> None:
    said, depth = random(0, 2, 1, 3, 3), random(1, 2, 3, 3).exp()
    target = Cells({"target": depth}, torch.ones(2, dtype=torch.bool))
    blind, sees = Depth(invariance=1.0), Depth(invariance=0.5)
    torch.testing.assert_close(blind.loss(said + 3, target), blind.loss(said, target), rtol=1e-4, atol=1e-4)
    assert bool((sees.loss(said + 3, target) > sees.loss(said, target) + 1).all())


def test_unknown_pixels_teach_nothing() -> None:
    said = random(0, 1, 1, 2, 2).requires_grad_()
    target = torch.tensor([[[1.0, 0.0], [2.0, 0.0]]])
    loss = Depth().loss(said, Cells({"target": target}, torch.tensor([True])))
    (gradient,) = torch.autograd.grad(loss.sum(), said)
    assert (gradient[0, 0] != 0).tolist() == [[True, False], [True, False]]


def test_scores_by_hand() -> None:
    truth = torch.tensor([[[1.0, 2.0, 0.0]], [[4.0, 4.0, 4.0]]])
    answer = torch.tensor([[[1.2, 2.6, 9.0]], [[3.3, 3.1, 0.0]]])  # ratios 1.2, 1.3, not known; 1.21, 1.29, no answer
    delta, rmse = codec().metrics()
    assert delta.compute(answer, truth) == pytest.approx(2 / 5)
    squares = [0.04, 0.36, 0.49, 0.81, 16.0]
    assert rmse.compute(answer, truth) == pytest.approx(math.sqrt(sum(squares) / 5), rel=1e-5)
    assert rmse.of_rows(answer, truth)(torch.tensor([0, 0])) == pytest.approx(math.sqrt(0.2), rel=1e-5)
    known = truth > 0
    assert rmse.compute(answer, truth) == pytest.approx(root_mean_squared_error(truth[known], answer[known]), rel=1e-5)
    assert (delta.best, rmse.best) == (1.0, 0.0)
    assert math.isnan(delta.compute(answer, torch.zeros(2, 1, 3)))
    assert math.isnan(rmse.compute(answer[:0], truth[:0]))


def test_exactly_the_limit_is_no_hit() -> None:
    delta = codec().metrics()[0]
    truth = torch.tensor([[[4.0, 4.0, 5.0]]])
    assert delta.compute(torch.tensor([[[5.0, 3.2, 4.0]]]).double(), truth) == pytest.approx(1 / 3)


def test_answers_are_arrays_that_read_as_labels_again() -> None:
    one, depth = codec(scale=0.001), random(0, 2, 2, 3).exp()
    depth[1] = 0
    answers = one.decode(depth)[""]
    assert answers[1] is None
    found = plane(answers[0])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, depth[0].numpy())
    np.testing.assert_array_equal(one.read(answers[0]), depth[0].numpy())


def test_answers_are_given_at_the_size_of_the_picture() -> None:
    columns = {"": [plane_npy(np.array([[1.0, 3.0]], np.float32)), plane_npy(np.array([[1.0, 3.0]], np.float32)), None]}
    found = codec().at_size(columns, [(1, 4), None, (2, 2)])[""]
    np.testing.assert_allclose(plane(found[0]), [[1.0, 1.5, 2.5, 3.0]])
    assert found[1:] == [columns[""][1], None]


def test_the_trivial_answer_is_the_geometric_mean() -> None:
    one, target = codec(), torch.tensor([[[1.0, 4.0, 0.0]]])
    prior = one.prior(target)
    torch.testing.assert_close(one.trivial(prior, target), torch.full((1, 1, 3), 2.0))
    assert float(one.prior(torch.zeros(1, 2, 3))) == 0
