"""Several numbers as one task: each place as a task of one number would have it."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from motet.core.errors import CellError, DataError, SpecError
from motet.core.flow import Cells
from motet.tasks import Codec, GaussianCodec, QuantileCodec, Regression, RegressionCodec, SeveralCodec
from motet.tasks.rules import MeanOfGaussians, MeanOfNumbers, ProductOfNumbers
from motet.testing import check_task

PAIRS: list[Any] = [[1, 5.5], [4, "-2"], [1.5, 1], ["0", 9], [-8, 1], [3, 3]]
ERRORS = ("squared", "huber", "absolute", "quantile", "gaussian")


def fitted(spec: Regression, cells: list[Any] = PAIRS) -> SeveralCodec:
    codec = spec.fit(cells)
    assert isinstance(codec, SeveralCodec)
    return codec


def alone(error: Any, place: int, cells: list[Any] = PAIRS) -> Codec:
    return Regression(error=error).fit([row[place] for row in cells])


@pytest.mark.parametrize("error", ERRORS)
def test_it_keeps_the_contract(error: Any) -> None:
    check_task(Regression(columns=("a", "b"), error=error), PAIRS)


@pytest.mark.parametrize("error", ERRORS)
def test_each_place_is_what_a_task_of_its_own_would_be(error: Any) -> None:
    """Codec, target, prior, loss, calibration and answers, bit for bit."""
    spec, one = Regression(columns=("a", "b"), error=error, interval=0.5), Regression(error=error, interval=0.5)
    codec, singles = fitted(spec), [one.fit([row[place] for row in PAIRS]) for place in range(2)]
    assert codec.places == tuple(singles)
    target = codec.batch([codec.read(row) for row in PAIRS])["target"]
    output = torch.randn(6, *spec.output_shape(codec), generator=torch.Generator().manual_seed(0))
    present = torch.tensor([True, False, True, True, True, True])
    losses, calibrated = [], codec.calibrated(output, target)
    for place, single in enumerate(singles):
        own = single.batch([single.read(row[place]) for row in PAIRS])["target"]
        assert torch.equal(target[:, place], own)
        assert torch.equal(codec.prior(target)[place], single.prior(own))
        losses.append(one.loss(output[:, place], Cells({"target": own}, present)))
        assert calibrated.places[place] == single.calibrated(output[:, place], own)
        for name, column in single.calibrated(output[:, place], own).decode(output[:, place]).items():
            assert [row[place] for row in calibrated.decode(output)[name]] == column
    torch.testing.assert_close(spec.loss(output, Cells({"target": target}, present)), (losses[0] + losses[1]) / 2)


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(3, 40))
@settings(max_examples=30, deadline=None)
def test_metrics_are_the_uniform_averages_of_scikit_learn(seed: int, places: int, rows: int) -> None:
    chance = np.random.default_rng(seed)
    truth, answer = chance.normal(size=(2, rows, places)) * 10.0 ** chance.integers(-2, 3, places)
    place = [RegressionCodec(center=0.0, scale=float(scale), interval=0.9) for scale in chance.uniform(0.1, 9, places)]
    codec = SeveralCodec(names=tuple("abcd"[:places]), places=tuple(place), separator="|")
    scale = np.array([one.scale for one in place])
    output, target = torch.from_numpy(answer / scale), torch.from_numpy(truth / scale)
    found = {metric.name: metric.compute(output, target) for metric in codec.metrics()}
    assert found["r2"] == pytest.approx(r2_score(truth, answer, multioutput="uniform_average"))
    assert found["mae"] == pytest.approx(mean_absolute_error(truth, answer))
    assert found["rmse"] == pytest.approx(root_mean_squared_error(truth, answer))
    ranks = [spearmanr(truth[:, i], answer[:, i]).statistic for i in range(places)]
    assert found["spearman"] == pytest.approx(np.mean(ranks))


def test_a_place_whose_score_does_not_exist_is_left_out() -> None:
    codec = fitted(Regression())
    target = torch.tensor([[1.0, 2.0], [1.0, 4.0]])
    scores = {metric.name: metric.compute(target + 0.5, target) for metric in codec.metrics()}
    assert scores["r2"] == pytest.approx(1 - 2 * 0.25 / 2)
    assert all(math.isnan(metric.compute(target[:0], target[:0])) for metric in codec.metrics())


# --- cells


def test_lists_and_text_with_separators_are_several_numbers() -> None:
    expected = fitted(Regression(columns=("a", "b"))).read([1, 5.5])
    for cell in ([1, "5.5"], (1, 5.5), np.array([1, 5.5]), "1|5.5"):
        assert np.array_equal(fitted(Regression()).read(cell), expected)
    assert fitted(Regression(separator=";"), ["1;2", "3;5"]).read("1;2").tolist() == [-1, -1]
    assert fitted(Regression(), [[1, 2], [3, 4], [1, 2, 3]]).names == ("number 1", "number 2")


def test_one_column_among_columns_is_a_list_of_one() -> None:
    spec = Regression(columns=("a",))
    codec = fitted(spec, [1.0, 3.0, None])
    assert spec.output_shape(codec) == (1,)
    assert codec.read(3.0).tolist() == codec.read([3.0]).tolist() == [1.0]
    assert codec.decode(torch.tensor([[1.0]])) == {"": [[3.0]]}


def test_lists_beside_single_numbers_are_bad_cells() -> None:
    codec = Regression().fit([1.0, [1, 2], 3.0])
    assert isinstance(codec, RegressionCodec)
    with pytest.raises(CellError, match="not a number"):
        codec.read([1, 2])


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ([1, None], "b is absent; a row has all numbers of a task or none: make each column a task of its own"),
        ([1, 2, 3], "expected 2 numbers, found 3"),
        (1.0, "expected 2 numbers, found one"),
        (["x", 1], "a: not a number"),
        ([1, float("inf")], "b: not a finite number"),
    ],
)
def test_what_is_no_row_of_numbers_is_a_bad_cell(cell: Any, reason: str) -> None:
    with pytest.raises(CellError, match=reason):
        fitted(Regression(columns=("a", "b"))).read(cell)


def test_what_can_not_be_learned_is_refused() -> None:
    with pytest.raises(DataError, match="b: every training row with a label has the same one, 5"):
        Regression(columns=("a", "b")).fit([[1, 5], [2, 5]])
    with pytest.raises(DataError, match="a: no training row has a number"):
        Regression(columns=("a", "b")).fit([[None, 5], ["x", 5]])
    with pytest.raises(SpecError, match="the glob 'a_\\*' has to be resolved"):
        Regression(columns="a_*").fit(PAIRS)


def test_fields_that_make_no_sense_together_are_refused() -> None:
    with pytest.raises(ValidationError, match="`unit` is for tasks of one number"):
        Regression(columns=("a", "b"), unit="euro")
    with pytest.raises(ValidationError, match="`head: none` answers with one number"):
        Regression(columns=("a", "b"), head="none")
    for error in ("quantile", "gaussian"):
        with pytest.raises(ValidationError, match="`head: none` answers with one number"):
            Regression(error=error, head="none")
    with pytest.raises(SpecError, match="`head: none` answers with one number, and the labels list several"):
        Regression(head="none").build(fitted(Regression()), 1)
    for given_fields in ({"quantiles": (0.1, 0.5)}, {"beta": 0.1}):
        with pytest.raises(ValidationError, match="error: squared"):
            Regression(**given_fields)
    for quantiles in ((0.1, 0.9), (0.5, 0.1), (0.5, 0.5), (0.0, 0.5), (0.5, 1.0)):
        with pytest.raises(ValidationError, match=r"quantiles rise between 0 and 1, with 0\.5 among them"):
            Regression(error="quantile", quantiles=quantiles)


@pytest.mark.parametrize(
    ("error", "kind"), [("squared", RegressionCodec), ("quantile", QuantileCodec), ("gaussian", GaussianCodec)]
)
def test_a_unit_is_shared_whatever_each_task_makes_of_its_errors(error: Any, kind: type[Codec]) -> None:
    found = Regression(error=error, interval=0.5).fit_alike(RegressionCodec(center=4.0, scale=2.0, interval=0.9))
    assert isinstance(found, kind)
    assert (found.center, found.scale, found.interval) == (4.0, 2.0, 0.5)


def test_decisions_about_several_numbers_know_fewer_rules() -> None:
    several, gaussian = Regression(), Regression(error="gaussian")
    assert isinstance(several.rule("mean", fitted(several), streams=["a"], width=2), MeanOfNumbers)
    assert isinstance(gaussian.rule("mean", fitted(gaussian), streams=["a"], width=2), MeanOfGaussians)
    assert isinstance(several.rule("product", fitted(several), streams=["a"], width=2), ProductOfNumbers)
    with pytest.raises(SpecError, match="can not join decisions by 'evidential'; the rules it knows are 'mean', 'prod"):
        several.rule("evidential", fitted(several), streams=["a"], width=2)
    quantile = Regression(error="quantile")
    with pytest.raises(SpecError, match="can not join decisions by 'product'; the rules it knows are 'mean', 'stack"):
        quantile.rule("product", fitted(quantile), streams=["a"], width=2)
