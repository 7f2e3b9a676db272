from typing import Any

import pytest
import torch

from motet.evaluation import Details, Shown, details_of
from motet.evaluation.details import MOST_CLASSES, MOST_POINTS
from motet.tasks import Binary, Count, Multiclass, Multilabel, Ordinal, Regression


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


def test_ordinal_is_confused_by_its_medians_and_the_farthest_are_the_worst() -> None:
    codec = Ordinal(levels=("low", "medium", "high")).fit(["low", "high"])
    probability = torch.tensor([[0.45, 0.1, 0.45], [0.9, 0.05, 0.05], [0.0, 0.05, 0.95], [0.1, 0.8, 0.1], [1, 0, 0]])
    output = (probability + 1e-9).log()
    target = torch.tensor([1, 1, 0, 2, -1])  # the last is a label that was never trained on
    details = details_of(codec, output, target, [0, 1, 2, 3, 4])
    assert details.confusion is not None
    assert details.confusion.labels == ("low", "medium", "high")
    assert details.confusion.counts == ((0, 0, 1), (1, 1, 0), (0, 1, 0))
    assert [(one.row, one.truth, one.answer) for one in details.mistakes] == [
        ("2", "low", "high"),
        ("1", "medium", "low"),
        ("3", "high", "medium"),
    ]
    assert details.mistakes[1].probability == pytest.approx(0.9)
    assert sum(one.rows for one in details.reliability) == 4


def test_counts_are_far_off_for_their_size() -> None:
    codec = Count().fit([0, 4])
    truth, answer = torch.tensor([0.0, 8.0, 900.0]), torch.tensor([4.0, 9.0, 910.0])
    details = details_of(codec, codec.certain(answer / codec.scale), truth / codec.scale, [5, 6, 7])
    assert details.scatter is not None
    assert details.scatter.truth == pytest.approx([0, 8, 900], abs=1e-4)
    assert details.scatter.answer == pytest.approx([4, 9, 910], rel=1e-5)
    assert details.scatter.half_width is None
    assert [one.row for one in details.mistakes] == ["5", "7", "6"]


@pytest.mark.parametrize("error", ["squared", "quantile", "gaussian"])
def test_several_numbers_show_the_first_and_are_bad_by_all(error: Any) -> None:
    codec = Regression(columns=("a", "b"), error=error).fit([[0, 0], [200, 2]])
    target = torch.tensor([[0.0, 0.0], [0.5, 0.5], [-0.5, 1.0]])
    output = codec.certain(target + torch.tensor([[0.0, 0.1], [0.2, 0.0], [0.0, 0.5]]))
    details = details_of(codec, output, target, [5, 6, 7])
    assert details.scatter is not None
    assert details.scatter.truth == pytest.approx([100.0, 150.0, 50.0])
    assert details.scatter.answer == pytest.approx([100.0, 170.0, 50.0], rel=1e-5)
    assert [(one.row, one.truth, one.answer) for one in details.mistakes] == [
        ("7", "50.00, 2.000", "50.00, 2.500"),
        ("6", "150.0, 1.500", "170.0, 1.500"),
        ("5", "100.0, 1.000", "100.0, 1.100"),
    ]
    one = Regression(error=error).fit([0.0, 200.0])
    alone = details_of(one, one.certain(target[:, 0] + 0.1), target[:, 0], [5, 6, 7]).scatter
    assert alone is not None
    assert alone.answer == pytest.approx([110.0, 160.0, 60.0], rel=1e-5)


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
