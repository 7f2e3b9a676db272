import math
from typing import Any

import pytest
import torch

from motet.core.errors import CellError, DataError
from motet.core.flow import Cells
from motet.tasks import Binary


@pytest.mark.parametrize(
    ("cells", "positive"),
    [
        (["no", "yes", "yes"], "yes"),
        ([0, 1, 1, 1], 1),
        ([True, False], True),
        (["-1", "1", "1"], "1"),
        (["N", "Y"], "Y"),
        (["no", "maybe", "maybe"], "maybe"),
        (["bad", "true", "true"], "true"),
        (["spam", "ham", "ham", "ham"], "spam"),
        (["ham", "spam", "spam", "spam"], "ham"),
        (["a", "b"], "b"),
        ([2, 10], 10),
        ([5.0, 7.5, 7.5], 5.0),
    ],
)
def test_which_label_is_positive(cells: list[Any], positive: Any) -> None:
    codec = Binary().fit(cells)
    assert codec.positive == positive
    assert type(codec.positive) is type(positive)
    assert Binary().fit(reversed(cells)) == codec


def test_the_positive_label_can_be_named() -> None:
    assert Binary(positive="ham").fit(["ham", "spam"]).positive == "ham"
    assert Binary(positive=0).fit(["0", "1"]).positive == "0"
    assert Binary(positive=True).fit(["yes", "no"]).positive == "yes"  # a bare yes in YAML is true
    assert Binary(positive=False).fit(["yes", "no"]).positive == "no"
    assert Binary(positive="ham").resolved(Binary(positive="ham").fit(["ham", "spam"])).positive == "ham"
    assert Binary().resolved(Binary().fit(["a", "b"])).positive == "b"
    with pytest.raises(DataError, match="'span' does not occur; did you mean 'spam'"):
        Binary(positive="span").fit(["ham", "spam"])


def test_one_class_three_classes_and_no_label_are_refused() -> None:
    with pytest.raises(DataError, match=r"the same one, 'yes': there is nothing to learn; add rows"):
        Binary().fit(["yes", "yes"])
    with pytest.raises(DataError, match=r"found 3: 'a', 'b', 'c'; try kind multiclass"):
        Binary().fit(["a", "b", "c"])
    with pytest.raises(DataError, match="no training row has a label"):
        Binary().fit([])


def test_labels_match_by_text_and_strangers_are_refused() -> None:
    codec = Binary().fit([1.0, 0.0])
    assert codec.read("1") == 1
    assert codec.read(0) == 0
    with pytest.raises(CellError, match="not one of the two labels"):
        codec.read("2")
    with pytest.raises(CellError, match="not a finite number"):
        codec.read(float("nan"))
    with pytest.raises(CellError, match="not list"):
        codec.read([1])


def test_loss_by_hand() -> None:
    output = torch.tensor([math.log(3.0), math.log(3.0), 0.0])
    target = Cells({"target": torch.tensor([1.0, 0.0, 1.0])}, torch.tensor([True, True, True]))
    expected = torch.tensor([-math.log(0.75), -math.log(0.25), math.log(2.0)])
    torch.testing.assert_close(Binary().loss(output, target), expected)


def test_probability_is_that_of_the_positive_label() -> None:
    columns = Binary().fit(["no", "yes"]).decode(torch.tensor([math.log(3.0), -math.log(3.0)]))
    assert columns[""] == ["yes", "no"]
    assert columns["probability"] == pytest.approx([0.75, 0.25])


def test_prior_is_the_log_odds() -> None:
    target = torch.tensor([1.0] * 30 + [0.0] * 10)
    assert Binary().fit(["no", "yes"]).prior(target).item() == pytest.approx(math.log(30.5 / 10.5))
    assert Binary().fit(["no", "yes"]).prior(torch.ones(5)).isfinite()
