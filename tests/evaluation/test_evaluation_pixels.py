"""What a report shows of masks and depth: which rows are bad, all pixels together, pictures of truth and answer."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from motet import inputs
from motet.evaluation.details import details_of
from motet.evaluation.pixels import GAP, painted, pixels_of, some_of
from motet.media import image, uri_bytes
from motet.tasks import Depth, Segmentation

PICTURES: Any = {"photo": inputs.Image(size=(2, 2)).fit([np.zeros((2, 2, 3), np.uint8)])}
MASKS = Segmentation(of="photo", ignore=(9,)).fit([np.array([[0, 1], [4, 4]])], PICTURES)
DEPTHS = Depth(of="photo").fit([np.ones((2, 2))], PICTURES)
TRUE = torch.tensor([[[0, 1], [2, -1]], [[0, 0], [1, 1]], [[0, 0], [-2, -1]]], dtype=torch.int16)
SAID = torch.tensor([[[0, 1], [2, 0]], [[2, 0], [2, 1]], [[-1, -1], [-1, -1]]], dtype=torch.int16)


def test_a_row_is_bad_by_its_wrong_pixels() -> None:
    found = pixels_of(MASKS, SAID, TRUE)
    assert found.badness.tolist() == [0, 0.5, 1]
    assert found.truth.tolist() == [0, 1, 2, 0, 0, 1, 1]
    assert found.answer.tolist() == [0, 1, 2, 2, 0, 2, 1]
    assert found.names == ("0", "1", "4")


def test_depth_is_bad_by_its_mean_error_in_logs() -> None:
    truth = torch.tensor([[[1.0, 2.0], [0.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])
    answer = torch.tensor([[[2.0, 2.0], [9.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]])
    found = pixels_of(DEPTHS, answer, truth)
    assert found.badness.tolist() == pytest.approx([(math.log(2) + math.log(4)) / 3, 0])
    assert some_of(found, 9, seed=0) == ([1, 2, 4], [2, 2, 1])
    assert len(some_of(found, 2, seed=0)[0]) == 2


def test_answer_and_truth_are_painted_side_by_side_in_the_same_colours() -> None:
    data = uri_bytes(painted(MASKS, SAID[1], TRUE[1]))
    pixels = image(data).astype(int)
    assert pixels.shape == (2, 2 + GAP + 2, 3)
    left, right = pixels[:, :2], pixels[:, -2:]
    assert (left[0, 1] == right[0, 0]).all()  # class 0
    assert (left[1, 1] == right[1, 1]).all()  # class 1
    assert (left[0, 0] == left[1, 0]).all()
    assert len({tuple(one) for one in (left[0, 0], left[0, 1], left[1, 1])}) == 3
    assert (image(uri_bytes(painted(MASKS, SAID[2], TRUE[2])))[1, :2] == 0).all()  # no class is black


def test_depth_is_the_darker_the_farther() -> None:
    truth = torch.tensor([[1.0, 4.0], [2.0, 0.0]])
    pixels = image(uri_bytes(painted(DEPTHS, torch.tensor([[1.0, 9.0], [2.0, 3.0]]), truth)))[:, :, 0].astype(int)
    assert pixels[:, -2:].tolist() == [[255, 30], [142, 0]]
    assert pixels[0, :2].tolist() == [255, 30]


def test_the_report_shows_pixels_by_class_and_the_worst_rows_first() -> None:
    found = details_of(MASKS, SAID, TRUE, [7, 8, 9])
    assert found.confusion is not None
    assert found.confusion.counts == ((2, 0, 1), (0, 2, 1), (0, 0, 1))
    assert [one.row for one in found.mistakes] == ["9", "8"]
    assert found.mistakes[1].answer == "on the left, 50% wrong"
    assert found.mistakes[1].cells[-1].content.startswith("data:image/png;base64,")
    assert details_of(MASKS, SAID[:0], TRUE[:0], []).mistakes == ()


def test_the_report_shows_depth_as_a_scatter_of_pixels() -> None:
    found = details_of(DEPTHS, torch.full((2, 2, 2), 2.0), torch.tensor([[[1.0, 2.0], [0.0, 4.0]]] * 2), [1, 2])
    assert found.scatter is not None
    assert found.scatter.truth == [1, 2, 4] * 2
    assert found.scatter.answer == [2] * 6
    assert found.mistakes[0].answer == "on the left, log error 0.462"
