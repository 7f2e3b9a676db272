import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motet.core.errors import CellError, DataError
from motet.core.flow import Cells
from motet.tasks import Regression


@pytest.mark.parametrize(
    ("cell", "number"), [("1.5", 1.5), (" 2 ", 2.0), (3, 3.0), (np.float32(0.5), 0.5), ("-1e3", -1e3)]
)
def test_numbers(cell: Any, number: float) -> None:
    codec = Regression().fit([0.0, 2.0])  # mean 1, standard deviation 1
    assert codec.read(cell) == pytest.approx(number - 1)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("five", "not a number"),
        ("1,5", "not a number"),
        ("1_000", "not a number"),
        ("5 km", "not a number"),
        (True, "not a number"),
        ([1.0], "not a number"),
        ("inf", "not a finite number"),
        ("nan", "not a finite number"),
        (float("inf"), "not a finite number"),
        ("1e400", "not a finite number"),
        (10**400, "not a finite number"),
        (1e300, "too far from every number"),
    ],
)
def test_what_is_no_number_is_a_bad_cell(cell: Any, reason: str) -> None:
    with pytest.raises(CellError, match=reason):
        Regression().fit([0.0, 2.0]).read(cell)


def test_what_can_not_be_learned_is_refused() -> None:
    with pytest.raises(DataError, match="no training row has a number"):
        Regression().fit(["a", None, True])
    with pytest.raises(DataError, match="the same one, 5: there is nothing to learn"):
        Regression().fit([5, "5.0"])
    with pytest.raises(DataError, match="too large or too close"):
        Regression().fit([1e308, -1e308, 1e308])


@given(st.lists(st.floats(-1e12, 1e12), min_size=2).filter(lambda values: np.std(values) > 1e-3))
def test_a_label_decodes_to_itself(values: list[float]) -> None:
    codec = Regression().fit(values)
    target = codec.batch([codec.read(value) for value in values])["target"]
    decoded = codec.decode(target)[""]
    assert np.allclose(decoded, values, rtol=0, atol=1e-5 * codec.scale * (1 + target.abs().max().item()))


def test_small_differences_of_large_numbers_survive() -> None:
    codec = Regression().fit([1.7e12, 1.7e12 + 1, 1.7e12 + 2])
    assert codec.decode(torch.from_numpy(codec.read(1.7e12 + 2))[None])[""] == [pytest.approx(1.7e12 + 2, abs=1e-3)]


@pytest.mark.parametrize(
    ("error", "expected"), [("squared", [0.25, 4.0]), ("absolute", [0.5, 2.0]), ("huber", [0.125, 1.5])]
)
def test_losses_by_hand(error: Any, expected: list[float]) -> None:
    cells = Cells({"target": torch.tensor([1.0, 1.0])}, torch.tensor([True, True]))
    torch.testing.assert_close(Regression(error=error).loss(torch.tensor([1.5, -1.0]), cells), torch.tensor(expected))


def test_interval_by_hand() -> None:
    codec = Regression(interval=0.5).fit([0.0, 20.0])  # mean 10, standard deviation 10
    assert set(codec.decode(torch.zeros(1))) == {""}
    output, target = torch.zeros(9), torch.tensor([0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, -0.8, 0.9])
    fitted = codec.calibrated(output, target)  # rank ceil(10 * 0.5) = 5
    assert fitted.half_width == pytest.approx(0.5)
    assert fitted.decode(torch.zeros(1)) == {"": [10.0], "low": [pytest.approx(5.0)], "high": [pytest.approx(15.0)]}


def test_too_few_rows_give_no_interval() -> None:
    codec = Regression(interval=0.9).fit([0.0, 1.0])
    assert codec.calibrated(torch.zeros(8), torch.ones(8)).half_width is None  # ceil(9 * 0.9) = 9 > 8
    assert codec.calibrated(torch.zeros(9), torch.ones(9)).half_width == 1.0
    assert codec.calibrated(torch.zeros(0), torch.zeros(0)).half_width is None
    assert codec.calibrated(torch.full((99,), torch.nan), torch.ones(99)).half_width is None


@pytest.mark.parametrize("interval", [0.5, 0.8, 0.95])
def test_new_rows_lie_in_the_interval_as_often_as_promised(interval: float) -> None:
    generator = torch.Generator().manual_seed(0)
    codec = Regression(interval=interval).fit([-1.0, 1.0])
    covered = []
    for _ in range(300):
        noise = torch.randn(60, generator=generator) ** 3
        width = codec.calibrated(torch.zeros(50), noise[:50]).half_width
        assert width is not None
        covered.append((noise[50:].abs() <= width).float().mean().item())
    # Exchangeable rows: coverage is ceil(51 * interval) / 51 on average; 4 standard errors of the mean of 300.
    exact = math.ceil(51 * interval) / 51
    assert abs(np.mean(covered) - exact) < 4 * np.std(covered) / math.sqrt(300)


def test_metrics_are_in_the_users_units() -> None:
    codec = Regression().fit([0.0, 200.0])
    target = codec.batch([codec.read(value) for value in (10, 20, 30)])["target"]
    scores = {metric.name: metric.compute(target + 0.05, target) for metric in codec.metrics()}
    assert scores["mae"] == pytest.approx(5.0, rel=1e-5)
    assert scores["rmse"] == pytest.approx(5.0, rel=1e-5)
    assert scores["r2"] == pytest.approx(1 - 75 / 200, rel=1e-4)
    assert scores["spearman"] == pytest.approx(1.0)
