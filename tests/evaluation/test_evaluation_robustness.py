import math
from typing import Any

import numpy as np
import pytest
import torch

from motet.evaluation import TaskRows
from motet.evaluation.interval import Resampling
from motet.evaluation.render_robustness import robustness
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
    assert found.relative.value == pytest.approx(0.875, abs=0.01)
    assert found.effective.value == pytest.approx(0.875 - 0.75, abs=0.04)
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
    assert found.effective.high < -0.2


def test_both_areas_are_of_the_same_draws() -> None:
    """Noise that is absence by another name differs from it in no draw; a useless input is not said to be harmful."""
    rows = TaskRows(Binary().fit(["no", "yes"]), "accuracy", TARGET, EVERYWHERE)
    clean, absent = wrong_in(0.1), wrong_in(0.5)
    alike = robustness_of(rows, clean=clean, absent=clean, noisy=dict.fromkeys(LEVELS, clean), name="x", **SETTINGS)
    assert (alike.effective.value, alike.effective.low, alike.effective.high) == (0, 0, 0)
    assert alike.relative.value == alike.relative.high == 1
    assert 0.99 < alike.relative.low < 1, "rows that were not seen may differ"
    close = {level: wrong_in(0.1 + 0.4 * level) for level in LEVELS}
    found = robustness_of(rows, clean=clean, absent=absent, noisy=close, name="x", **SETTINGS)
    assert found.effective.low < 0 < found.effective.high
    assert 0 < found.effective.high - found.effective.low < 0.1
    assert found.relative.low < found.relative.value < found.relative.high < 1


def test_the_bounds_are_those_of_the_areas_of_each_draw() -> None:
    rows = TaskRows(Binary().fit(["no", "yes"]), "accuracy", TARGET, EVERYWHERE)
    noisy = {level: wrong_in(level / 4) for level in LEVELS}
    found = robustness_of(rows, clean=wrong_in(0.1), absent=wrong_in(0.5), noisy=noisy, name="x", **SETTINGS)
    resampling = Resampling(N, None, 0, 40)
    right = [(output > 0) == (TARGET > 0) for output in (wrong_in(0.1), *noisy.values())]
    areas = []
    for drawn in (torch.arange(N), *resampling.rows()):
        kept = [float(one[drawn].double().mean()) / float(right[0][drawn].double().mean()) for one in right]
        areas.append(sum((kept[place] + kept[place + 1]) / 2 for place in range(4)) / 4)
    low, high = resampling.bounds(areas[0], np.array(areas[1:]), level=0.95)
    assert (found.relative.low, found.relative.high) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(
    ("effective", "advised"),
    [
        ({"value": -0.1, "low": -0.2, "high": -0.05}, True),
        ({"value": -0.1, "low": -0.3, "high": 0.05}, False),
        ({"value": -0.1, "low": None, "high": None}, False),
        (-0.1, False),
    ],
)
def test_the_page_advises_only_where_the_interval_leaves_no_doubt(effective: Any, advised: bool) -> None:
    found = {"noise": [], "absence": [], "relative": 0.9, "effective": effective}
    page = robustness({"tasks": {"sold": {"primary": "accuracy"}}, "inputs": {"size": {"robustness": {"sold": found}}}})
    assert ("better left out" in page) == advised
    assert "would do better" not in page
