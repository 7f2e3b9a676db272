import pytest
import torch

from motet.evaluation import Details, Shown, details_of
from motet.evaluation.details import MOST_CLASSES, MOST_POINTS
from motet.tasks import Binary, Multiclass, Multilabel, Regression


def test_binary() -> None:
    codec = Binary().fit(["no", "yes"])
    output = torch.tensor([3.0, 2.0, -1.0, -4.0, -2.0])
    target = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0])
    details = details_of(codec, output, target, [10, 11, 12, 13, 14], place=lambda row: f"t.csv:{row}")
    assert details.confusion is not None
    assert details.confusion.labels == ("no", "yes")
    assert details.confusion.counts == ((2, 1), (1, 1))
    assert [(one.row, one.truth, one.answer) for one in details.mistakes] == [
        ("t.csv:11", "no", "yes"),
        ("t.csv:12", "yes", "no"),
    ]
    assert details.mistakes[0].probability == pytest.approx(0.8808, abs=1e-4)
    assert details.mistakes[1].probability == pytest.approx(0.7311, abs=1e-4)
    assert sum(one.rows for one in details.reliability) == 5


def test_many_classes_are_folded() -> None:
    codec = Multiclass().fit(list(range(30)) * 2)
    target = torch.tensor([29] * 50 + list(range(30)))
    output = torch.nn.functional.one_hot(torch.tensor([29] * 49 + [3] + list(range(30))), 30).float()
    confusion = details_of(codec, output, target, range(80)).confusion
    assert confusion is not None
    assert len(confusion.labels) == MOST_CLASSES
    assert confusion.labels[-2:] == ("29", "others")
    assert sum(map(sum, confusion.counts)) == 80
    assert confusion.counts[-2][-2] == 50
    assert confusion.counts[-2][3] == 1


def test_multilabel() -> None:
    codec = Multilabel().fit(["a|b|c"])
    output = torch.tensor([[1.0, -1.0, 1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, -1.0]])
    target = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    details = details_of(codec, output, target, [0, 1, 2])
    assert [(one.row, one.truth, one.answer) for one in details.mistakes] == [("1", "c", "a, b"), ("0", "a", "a, c")]
    assert {one.label: one.rows for one in details.labels} == {"a": 1, "c": 1, "b": 0}
    assert details_of(codec, -output, target * 0, [0, 1, 2]).mistakes[0].truth == "none"


def test_regression_is_in_the_users_units() -> None:
    codec = Regression(interval=0.5).fit([0.0, 200.0])
    target = torch.tensor([0.0, 0.5, -0.5])
    codec = codec.calibrated(target + 0.1, target)
    details = details_of(codec, target + torch.tensor([0.0, 0.3, -0.1]), target, [5, 6, 7])
    assert details.scatter is not None
    assert details.scatter.truth == pytest.approx([100.0, 150.0, 50.0])
    assert details.scatter.answer == pytest.approx([100.0, 180.0, 40.0], rel=1e-5)
    assert details.scatter.half_width == pytest.approx(10.0, rel=1e-5)
    assert [(one.row, one.truth, one.answer) for one in details.mistakes] == [
        ("6", "150.0", "180.0"),
        ("7", "50.00", "40.00"),
    ]
    assert details.mistakes[0].probability is None
    many = details_of(codec, torch.randn(1000), torch.randn(1000), range(1000), seed=1)
    assert many.scatter is not None
    assert len(many.scatter.truth) == MOST_POINTS


def test_cells_are_asked_for_the_rows_that_are_shown_and_no_others() -> None:
    asked: list[int] = []

    def show(row: int) -> list[Shown]:
        asked.append(row)
        return [Shown("review", "text", f"words of {row}")]

    codec = Regression().fit([0.0, 1.0])
    output = torch.tensor([0.0, 5.0, 1.0, 3.0])
    details = details_of(codec, output, torch.zeros(4), [40, 41, 42, 43], num_mistakes=2, show=show)
    assert asked == [41, 43]
    assert details.mistakes[0].cells == (Shown("review", "text", "words of 41"),)


def test_nothing_to_show() -> None:
    codec = Binary().fit(["no", "yes"])
    assert details_of(codec, torch.zeros(0), torch.zeros(0), []) == Details()
    assert details_of(codec, torch.tensor([torch.nan]), torch.ones(1), [0]) == Details()
    assert details_of(codec, torch.ones(2), torch.ones(2), [0, 1]).mistakes == ()
