import math
from typing import Any

import numpy as np
import pytest
import torch

from motet.core.errors import DataError
from motet.core.flow import Cells
from motet.tasks import Multiclass


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        ([3, 10, 2, 3], (2, 3, 10)),
        (["item10", "item9", "item10"], ("item9", "item10")),
        (["10", "9", "b", "b"], ("9", "10", "b")),
        ([True, False], (False, True)),
        ([1.0, 2.5, 1.0], (1.0, 2.5)),
        ([np.int64(4), np.int64(1)], (1, 4)),
        (["00501", "501", "501"], ("00501", "501")),
    ],
)
def test_classes_keep_their_type_and_come_in_natural_order(cells: list[Any], classes: tuple[Any, ...]) -> None:
    codec = Multiclass().fit(cells)
    assert codec.classes == classes
    assert [type(label) for label in codec.classes] == [type(label) for label in classes]
    one_hot = torch.eye(len(classes)) * 9
    assert codec.decode(one_hot)[""] == list(classes)


def test_labels_of_one_text_are_one_class() -> None:
    assert Multiclass().fit([5, "5", 5.0, "6"]).classes == (5, "6")


def test_what_can_not_be_learned_is_refused() -> None:
    with pytest.raises(DataError, match="the same one, '7'"):
        Multiclass().fit([7, "7"])
    with pytest.raises(DataError, match="each of the 21 labels occurs once"):
        Multiclass().fit(range(21))
    with pytest.raises(DataError, match="no training row has a label"):
        Multiclass().fit([])
    with pytest.raises(DataError, match="no training row has a label"):
        Multiclass().fit([[1], float("nan")])


def test_a_label_that_no_training_row_has_counts_as_a_miss() -> None:
    codec = Multiclass().fit(["red", "green", "blue"])
    assert codec.knows("red")
    assert not codec.knows("grean")
    logits = torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]])  # blue, green, red
    target = torch.from_numpy(np.stack([codec.read(label) for label in ("blue", "green", "grean")]))
    scores = {metric.name: metric.compute(logits, target) for metric in codec.metrics()}
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores["weighted_f1"] == pytest.approx(2 / 3)
    assert all(math.isfinite(score) for score in scores.values())


def test_loss_probability_and_prior_by_hand() -> None:
    codec = Multiclass().fit(["a", "b", "c"])
    output = torch.tensor([[math.log(1.0), math.log(2.0), math.log(5.0)]])
    cells = Cells({"target": torch.tensor([1])}, torch.tensor([True]))
    assert Multiclass().loss(output, cells).item() == pytest.approx(math.log(4.0))
    assert codec.decode(output) == {"": ["c"], "probability": [pytest.approx(0.625)]}
    prior = codec.prior(torch.tensor([0, 0, 1, 2]))
    torch.testing.assert_close(prior.exp(), torch.tensor([2.5, 1.5, 1.5]) / 5.5)
