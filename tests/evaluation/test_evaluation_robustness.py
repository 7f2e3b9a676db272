import math

import pytest
import torch

from motet.evaluation import TaskRows
from motet.evaluation.robustness import LEVELS, area, robustness_of
from motet.tasks import Binary, Regression

N = 400
EVERYWHERE = torch.ones(N, dtype=torch.bool)
TARGET = (torch.arange(N) % 2).float()
RIGHT = 2 * TARGET - 1
SETTINGS = {"seed": 0, "resamples": 40, "level": 0.95}


def wrong_in(share: float) -> torch.Tensor:
    return torch.where(torch.arange(N) < share * N, -RIGHT, RIGHT)


def test_the_area_by_hand() -> None:
    assert area([0, 0.5, 1], [0.8, 0.8, 0.4], higher_is_better=True) == pytest.approx((1 + (1 + 0.5) / 2) / 2)
    assert area([0, 1], [1.0, 2.0], higher_is_better=False) == 0.75  # an error twice as large keeps a half
    assert area([0, 1], [0.5, -0.5], higher_is_better=True) == 0.5  # nothing is kept, and not less
    assert math.isnan(area([0, 1], [-0.1, -0.2], higher_is_better=True))
    assert area([0, 1], [0.0, 0.0], higher_is_better=False) == 1.0


def test_curves_and_both_numbers_of_a_classifier() -> None:
    rows = TaskRows(Binary().fit(["no", "yes"]), "accuracy", TARGET, EVERYWHERE)
    noisy = {level: wrong_in(level / 4) for level in LEVELS}
    found = robustness_of(rows, clean=RIGHT, absent=wrong_in(0.5), noisy=noisy, name="x", **SETTINGS)
    assert [one.value for one in found.noise] == pytest.approx(
        [1, 1 - 0.25 / 4, 1 - 0.5 / 4, 1 - 0.75 / 4, 0.75], abs=0.01
    )
    assert [one.value for one in found.absence] == pytest.approx([1, 0.875, 0.75, 0.625, 0.5], abs=0.06)
    assert found.absence[-1].value == 0.5
    assert found.relative == pytest.approx(0.875, abs=0.01)
    assert found.effective == pytest.approx(0.875 - 0.75, abs=0.04)
    assert all(one.low <= one.value <= one.high for one in (*found.noise, *found.absence))


def test_rows_that_are_hidden_stay_so_at_every_higher_rate() -> None:
    rows = TaskRows(Regression().fit([-1.0, 1.0]), "mae", torch.zeros(N), EVERYWHERE)
    costs = torch.rand(N, generator=torch.Generator().manual_seed(0))
    found = robustness_of(
        rows,
        clean=torch.zeros(N),
        absent=costs,
        noisy=dict.fromkeys(LEVELS, costs),
        name="x",
        **SETTINGS,
    )
    values = [one.value for one in found.absence]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(float(costs.mean()))


def test_an_input_whose_noise_does_worse_than_its_absence() -> None:
    rows = TaskRows(Binary().fit(["no", "yes"]), "accuracy", TARGET, EVERYWHERE)
    noisy = {level: wrong_in(level) for level in LEVELS}
    found = robustness_of(rows, clean=RIGHT, absent=wrong_in(0.5), noisy=noisy, name="x", **SETTINGS)
    assert found.effective < -0.2
