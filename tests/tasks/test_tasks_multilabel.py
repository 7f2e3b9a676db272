import math

import numpy as np
import pytest
import torch

from motet.core.errors import CellError, DataError, SpecError
from motet.core.flow import Cells
from motet.tasks import Multilabel


def test_text_lists_and_empty_sets() -> None:
    codec = Multilabel().fit(["red | round", ["round"], [], "round||red|", np.array(["flat"])])
    assert codec.labels == ("flat", "red", "round")
    assert codec.read("round|red").tolist() == [0, 1, 1]
    assert codec.read(["flat", "flat"]).tolist() == [1, 0, 0]
    assert codec.read([]).tolist() == [0, 0, 0]
    assert Multilabel(separator=";").fit(["a;b|c"]).labels == ("a", "b|c")


def test_numbers_stay_numbers() -> None:
    codec = Multilabel().fit([[10, 2], [2]])
    assert codec.labels == (2, 10)
    assert codec.decode(torch.tensor([[9.0, -9.0]]))[""] == [[2]]


def test_a_label_that_no_training_row_has_is_passed_over() -> None:
    codec = Multilabel().fit(["red|round"])
    assert codec.read("red|rund").tolist() == [1, 0]
    assert codec.knows("red|round")
    assert not codec.knows("red|rund")


def test_columns_of_yes_and_no() -> None:
    spec = Multilabel(columns=("pool", "garden"))
    codec = spec.fit([[0, 1], ["true", "False"], [1.0, "yes"]])
    assert codec.labels == ("pool", "garden")
    assert codec.read(["1", 0.0]).tolist() == [1, 0]
    assert codec.decode(torch.tensor([[-1.0, 1.0]]))[""] == [["garden"]]
    with pytest.raises(CellError, match="column 'garden' holds '2', expected 0 or 1"):
        codec.read([0, 2])
    with pytest.raises(CellError, match="column 'pool' holds '', expected 0 or 1"):
        codec.read([None, 1])
    with pytest.raises(CellError, match="a list of 2 values"):
        codec.read([1])
    with pytest.raises(CellError, match="a list of 2 values"):
        codec.read("1|0")


def test_what_can_not_be_learned_is_refused() -> None:
    with pytest.raises(DataError, match="no training row has any label"):
        Multilabel().fit([[], []])
    with pytest.raises(DataError, match="hold no 1 in any training row"):
        Multilabel(columns=("a", "b")).fit([[0, 0], ["x", 1]])
    with pytest.raises(SpecError, match="glob 'el_"):
        Multilabel(columns="el_*").fit([[0, 1]])


def test_loss_probability_and_prior_by_hand() -> None:
    codec = Multilabel().fit(["a|b"])
    output = torch.tensor([[math.log(3.0), math.log(3.0)]])  # probability 0.75 each
    cells = Cells({"target": torch.tensor([[1.0, 0.0]])}, torch.tensor([True]))
    assert Multilabel().loss(output, cells).item() == pytest.approx((-math.log(0.75) - math.log(0.25)) / 2)
    assert codec.decode(output) == {"": [["a", "b"]], "probability": [[pytest.approx(0.75), pytest.approx(0.75)]]}
    assert codec.decode(-output) == {"": [[]], "probability": [[]]}
    prior = codec.prior(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(prior, torch.tensor([2.5 / 1.5, 0.5 / 3.5]).log())
