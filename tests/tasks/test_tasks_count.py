import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import mean_absolute_error, mean_poisson_deviance, r2_score, root_mean_squared_error

from motet.core.errors import CellError, DataError
from motet.core.flow import Cells
from motet.tasks import Count, CountCodec, deviance
from motet.tasks.count import LogLinearHead
from motet.tasks.rules import Joining, MeanOfRates, Opinion, ProductOfLogits
from motet.tasks.rules.rates import log_rate_of, output_of, rate_of


def labelled(codec: CountCodec, counts: Any) -> Cells:
    target = codec.batch([codec.read(count) for count in counts])
    return Cells(target, torch.ones(len(counts), dtype=torch.bool))


# --- labels


@pytest.mark.parametrize("cell", [0, "3", 4.0, np.int64(7), " 12 "])
def test_whole_numbers_from_0_on_are_counts(cell: Any) -> None:
    codec = Count().fit([0, 4])
    assert codec.read(cell) * codec.scale == pytest.approx(float(cell))


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (2.5, "not a whole number"),
        (-1, "below 0"),
        ("many", "not a number"),
        (True, "not a number"),
        ("inf", "not a finite"),
        (1e300, "too far from every count"),
    ],
)
def test_what_is_no_count_is_a_bad_cell(cell: Any, reason: str) -> None:
    with pytest.raises(CellError, match=reason):
        Count().fit([0, 1000]).model_copy(update={"scale": 1e-9}).read(cell)


def test_what_can_not_be_learned_is_refused() -> None:
    with pytest.raises(DataError, match="whole number from 0 on"):
        Count().fit([0.5, -3, "a"])
    with pytest.raises(DataError, match="the same one, 0: there is nothing to learn"):
        Count().fit([0, "0"])


# --- the loss


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0.01, 60)), min_size=1, max_size=20))
@settings(deadline=None)
def test_deviances_are_twice_what_the_likelihood_falls_short(pairs: list[tuple[int, float]]) -> None:
    count, mean = np.array(pairs).T
    t, log_mean = torch.from_numpy(count), torch.from_numpy(np.log(mean))
    found = deviance.poisson(log_mean, t).numpy()
    assert found.mean() == pytest.approx(mean_poisson_deviance(count, mean), rel=1e-6, abs=1e-9)
    best = np.where(count > 0, stats.poisson.logpmf(count, np.maximum(count, 1e-300)), 0.0)
    assert found == pytest.approx(2 * (best - stats.poisson.logpmf(count, mean)), abs=1e-6)

    a = 0.3  # of scipy's: n = 1 / a successes, each with probability 1 / (1 + a m)
    short = [stats.nbinom.logpmf(count, 1 / a, 1 / (1 + a * m)) for m in (count, mean)]
    scaled = deviance.negative_binomial(log_mean + math.log(a), a * t) / a
    assert scaled.numpy() == pytest.approx(2 * (short[0] - short[1]), abs=1e-6)


@given(st.floats(0, 1e6, width=32), st.floats(-60, 60, width=32))
@example(1.4e-45, 0.0)
@example(1e6, -1e4)
@example(1.0, 1e4)
@settings(deadline=None)
def test_losses_are_never_negative_and_finite_with_their_gradients(count: float, output: float) -> None:
    for spec in (Count(), Count(dispersion=0.5)):
        given_output = torch.tensor([output], requires_grad=True)
        loss = spec.loss(given_output, Cells({"target": torch.tensor([count])}, torch.tensor([True])))
        (gradient,) = torch.autograd.grad(loss.sum(), given_output)
        assert 0 <= loss.item() < math.inf
        assert bool(gradient.isfinite())


@pytest.mark.parametrize("factor", [1, 1000])
def test_the_mean_of_all_labels_has_a_loss_of_1(factor: int) -> None:
    """However large and however scattered the counts are."""
    counts = [factor * count for count in (0, 1, 1, 2, 5, 9)]
    codec = Count().fit(counts)
    cells = labelled(codec, counts)
    constant = codec.prior(cells.values["target"]).expand(6)
    assert Count().loss(constant, cells).mean().item() == pytest.approx(1, rel=1e-5)
    assert codec.decode(constant)[""][0] == pytest.approx(3 * factor, rel=1e-5)


def test_the_dispersion_is_read_from_the_labels() -> None:
    """0, 0, 6, 10: mean 4, variance 18, so 18 = 4 + a 16."""
    spec = Count(dispersion="auto")
    codec = spec.fit([0, 0, 6, 10])
    assert codec.dispersion == pytest.approx(14 / 16)
    assert spec.resolved(codec).dispersion == codec.dispersion
    assert Count(dispersion="auto").fit([9, 10, 11]).dispersion == 0.001  # less scattered than by chance
    cells = labelled(codec, [0, 6])
    said = torch.tensor([0.5, 0.5])
    torch.testing.assert_close(spec.resolved(codec).loss(said, cells) * codec.dispersion, spec.loss(said, cells))


def test_the_model_is_poisson_regression() -> None:
    chance = np.random.default_rng(0)
    x = chance.normal(size=(200, 2))
    y = chance.poisson(np.exp(1 + x @ [0.5, -0.3]))
    codec = Count().fit(y)
    torch.manual_seed(0)
    head, cells = LogLinearHead(2, spread=codec.spread).double(), labelled(codec, y)
    search = torch.optim.LBFGS(head.parameters(), max_iter=100, line_search_fn="strong_wolfe")
    features = torch.from_numpy(x)

    def closure() -> torch.Tensor:
        search.zero_grad()
        loss = deviance.poisson(log_rate_of(head(features)), cells.values["target"].double()).mean()
        loss.backward()
        return loss

    search.step(closure)
    expected = PoissonRegressor(alpha=0, tol=1e-9, max_iter=1000).fit(x, y).predict(x)
    assert codec.decode(head(features))[""] == pytest.approx(expected, rel=1e-4)


def test_half_precision_keeps_the_digits_of_large_counts() -> None:
    head = LogLinearHead(2, spread=0.01)
    head.start_from(torch.tensor(9.21))
    with torch.autocast("cpu", torch.bfloat16):
        assert head(torch.zeros(1, 2)).item() == pytest.approx(9.21, abs=1e-5)


# --- answers


def test_an_interval_by_hand() -> None:
    """Means of 4 and deviations of 2: scores |y - 4| / 2 of 0, 0.5, 1, 1.5; of 4, the 3rd smallest is held by 0.6."""
    codec = CountCodec(scale=2.0, spread=1.0, dispersion=0.0, interval=0.6)
    output = torch.full((4,), math.log(2))
    assert set(codec.decode(output)) == {""}
    fitted = codec.calibrated(output, torch.tensor([4.0, 5.0, 6.0, 7.0]) / 2)
    assert fitted.width == pytest.approx(1.0)
    found = fitted.decode(torch.tensor([math.log(2), math.log(0.125)]))
    assert found[""] == pytest.approx([4, 0.25])
    assert found["low"] == pytest.approx([2, 0])  # 0.25 - 0.5 is below 0
    assert found["high"] == pytest.approx([6, 0.75])
    assert codec.calibrated(output[:1], torch.ones(1)).width is None


@pytest.mark.parametrize("dispersion", [0.0, 0.5])
def test_new_rows_lie_in_the_interval_as_often_as_promised(dispersion: float) -> None:
    """For any means, and the same near 1 as near 50; the expected counts are 20 % off."""
    chance = np.random.default_rng(1)
    codec = CountCodec(scale=1.0, spread=1.0, dispersion=dispersion, interval=0.8)
    mean = chance.choice([1.5, 50.0], size=(400, 120))
    scattered = mean * (chance.gamma(1 / dispersion, dispersion, mean.shape) if dispersion else 1.0)
    count, output = torch.from_numpy(chance.poisson(scattered)), torch.from_numpy(np.log(1.2 * mean))
    held = []
    for row in range(len(mean)):
        decoded = codec.calibrated(output[row, :99], count[row, :99]).decode(output[row, 99:])
        new = count[row, 99:].numpy()
        held.append(((np.array(decoded["low"]) <= new) & (new <= np.array(decoded["high"]))).mean())
    promised = math.ceil(100 * 0.8) / 100  # exactly, but that scores of whole numbers may be equal: then more
    assert promised - 4 * np.std(held) / 20 < np.mean(held) < promised + 0.06


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(1, 500).map(lambda tenths: tenths / 10)), min_size=2, max_size=30
    )
)
@settings(deadline=None)
def test_metrics_are_those_of_scikit_learn(pairs: list[tuple[int, float]]) -> None:
    count, mean = np.array(pairs).T
    codec = CountCodec(scale=2.0, spread=1.0, dispersion=0.0, interval=0.9)
    output, target = torch.from_numpy(np.log(mean / 2)), torch.from_numpy(count / 2)
    found = {metric.name: metric.compute(output, target) for metric in codec.metrics()}
    assert found["mae"] == pytest.approx(mean_absolute_error(count, mean))
    assert found["rmse"] == pytest.approx(root_mean_squared_error(count, mean))
    assert math.isnan(found["r2"]) == (len(set(count)) == 1)
    if not math.isnan(found["r2"]):
        assert found["r2"] == pytest.approx(r2_score(count, mean), rel=1e-6)
    if len(set(count)) > 1 and len(set(mean)) > 1 and not math.isnan(found["spearman"]):
        assert found["spearman"] == pytest.approx(stats.spearmanr(count, mean).statistic, abs=1e-9)


# --- rates and how they are joined


@given(st.floats(-80, 1e4))
@settings(deadline=None)
def test_rates_and_outputs_go_into_each_other(output: float) -> None:
    z = torch.tensor(output, dtype=torch.float64, requires_grad=True)
    rate = rate_of(z)
    (slope,) = torch.autograd.grad(rate, z)
    assert 0 < slope.item() <= math.exp(10) + 1e-6
    assert log_rate_of(z).item() == pytest.approx(math.log(rate.item()), abs=1e-9)
    assert output_of(log_rate_of(z)).item() == pytest.approx(output, rel=1e-9, abs=1e-9)
    assert rate.item() == pytest.approx(math.exp(output) if output < 10 else math.exp(10) * (output - 9))


def opinions(outputs: dict[str, list[float]], present: dict[str, list[bool]]) -> dict[str, Opinion]:
    there = {name: torch.tensor(one) for name, one in present.items()}
    number = torch.stack(list(there.values())).sum(0).clamp(min=1)
    return {
        name: Opinion(torch.tensor(one), torch.zeros(len(one), 1), there[name], there[name] / number)
        for name, one in outputs.items()
    }


def test_the_mean_is_that_of_the_rates_of_those_present() -> None:
    rule = MeanOfRates(Joining(("a", "b"), 1, (), Count().loss))
    said = opinions({"a": [0.0, 1.0, 11.0], "b": [2.0, math.nan, -3.0]}, {"a": [True] * 3, "b": [True, False, True]})
    expected = [(1 + math.exp(2)) / 2, math.e, (2 * math.exp(10) + math.exp(-3)) / 2]
    assert rate_of(rule(said)).tolist() == pytest.approx(expected, rel=1e-5)


def test_the_product_of_poissons_is_a_poisson() -> None:
    """By adding up over all counts: p(y | a) p(y | b) / p(y), normalised, has the mean that the rule answers."""
    rule = Count().rule("product", Count().fit([0, 3]), streams=["a", "b"], width=1)
    assert isinstance(rule, ProductOfLogits)
    rule.start_from(torch.tensor(math.log(2.0)))
    joint = rate_of(rule(opinions({"a": [math.log(3.0)], "b": [math.log(5.0)]}, {"a": [True], "b": [True]})))
    y = np.arange(100)
    weight = stats.poisson.pmf(y, 3) * stats.poisson.pmf(y, 5) / np.maximum(stats.poisson.pmf(y, 2), 1e-300)
    assert joint.item() == pytest.approx((y * weight).sum() / weight.sum(), rel=1e-4)
