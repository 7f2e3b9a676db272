"""Quantiles, and means with deviations: losses, learning a noise that differs from row to row, intervals."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import mean_pinball_loss
from torch import Tensor

from motet.core.flow import Cells
from motet.tasks import Codec, GaussianCodec, Head, QuantileCodec, Regression
from motet.tasks.regression.gaussian import likelihood
from motet.tasks.regression.quantile import pinball
from motet.tasks.rules import Joining, MeanOfGaussians, Opinion, ProductOfGaussians
from motet.tasks.rules.gaussian import LEAST_DEVIATION, deviation_of, raw_of

LEVELS = (0.05, 0.5, 0.95)


def present(rows: int) -> Tensor:
    return torch.ones(rows, dtype=torch.bool)


# --- losses


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_the_pinball_loss_by_loops_and_by_scikit_learn(seed: int) -> None:
    chance = np.random.default_rng(seed)
    output, label = chance.normal(size=(7, 3)), chance.normal(size=7)
    found = pinball(torch.from_numpy(output), torch.from_numpy(label), levels=LEVELS).numpy()
    for row in range(7):
        errors = [label[row] - output[row, q] for q in range(3)]
        parts = [level * e if e > 0 else (level - 1) * e for level, e in zip(LEVELS, errors, strict=True)]
        assert found[row] == pytest.approx(2 / 3 * sum(parts))
    whole = [mean_pinball_loss(label, output[:, q], alpha=level) for q, level in enumerate(LEVELS)]
    assert found.mean() == pytest.approx(2 * np.mean(whole))


def test_the_median_alone_has_the_absolute_error() -> None:
    cells = Cells({"target": torch.tensor([1.0, -2.0])}, present(2))
    output = torch.tensor([0.5, 0.5])
    found = Regression(error="quantile", quantiles=(0.5,)).loss(output[:, None], cells)
    torch.testing.assert_close(found, Regression(error="absolute").loss(output, cells))


def test_levels_are_those_of_the_interval_unless_given() -> None:
    assert Regression(error="quantile").levels == LEVELS
    assert Regression(error="quantile", interval=0.8).levels == (0.1, 0.5, 0.9)
    spec = Regression(error="quantile", quantiles=(0.2, 0.5, 0.6, 0.7))
    codec = spec.fit([1.0, 2.0])
    assert isinstance(codec, QuantileCodec)
    assert codec.levels == spec.resolved(codec).quantiles == (0.2, 0.5, 0.6, 0.7)


@given(st.floats(-1e3, 1e3), st.floats(-50, 50), st.floats(-1e3, 1e3), st.sampled_from([0.0, 0.5, 1.0]))
@settings(deadline=None)
def test_the_likelihood_is_that_of_scipy_and_never_negative(mean: float, raw: float, label: float, beta: float) -> None:
    output = torch.tensor([mean, raw], dtype=torch.float64)
    found = likelihood(output, torch.tensor(label, dtype=torch.float64), beta=beta).item()
    s = LEAST_DEVIATION + np.logaddexp(0, raw)
    constant = -0.5 * math.log(2 * math.pi) - math.log(LEAST_DEVIATION)
    assert found == pytest.approx(s ** (2 * beta) * (constant - stats.norm.logpdf(label, mean, s)), rel=1e-6, abs=1e-6)
    assert found >= 0


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_beta_weighs_gradients_by_the_variance(beta: float) -> None:
    """s^(2 beta) times (mean - y) / s^2 and (1/s - e^2 / s^3) ds/dr, with s = 2 and e = 3."""
    raw = raw_of(torch.tensor(2.0, dtype=torch.float64))
    output = torch.stack([torch.zeros_like(raw), raw]).requires_grad_()
    (gradient,) = torch.autograd.grad(likelihood(output, torch.tensor(3.0), beta=beta), output)
    slope = 1 / (1 + math.exp(-raw.item()))
    assert gradient[0].item() == pytest.approx(4**beta * -3 / 4)
    assert gradient[1].item() == pytest.approx(4**beta * (1 / 2 - 9 / 8) * slope)


# --- what they learn: y = x + d(x) noise, d = 0.2 or 2


def noisy(rows: int, *, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features, labels and deviations."""
    chance = torch.Generator().manual_seed(seed)
    wild = (torch.rand(rows, generator=chance) < 0.5).float()
    x = torch.randn(rows, generator=chance)
    deviation = 0.2 + 1.8 * wild
    return torch.stack([x, wild], dim=1), x + deviation * torch.randn(rows, generator=chance), deviation


def learned(spec: Regression, *, steps: int) -> tuple[Codec, Head]:
    features, y, _ = noisy(4000, seed=0)
    codec = spec.fit(y.tolist())
    cells = Cells(codec.batch([codec.read(one) for one in y.tolist()]), present(len(y)))
    torch.manual_seed(0)
    head = spec.build(codec, 2)
    head.start_from(codec.prior(cells.values["target"]))
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        spec.loss(head(features), cells).mean().backward()
        optimizer.step()
    return codec, head


@pytest.mark.parametrize("error", ["quantile", "gaussian"])
def test_it_learns_how_uncertain_rows_are(error: str) -> None:
    """The 5 % and 95 % quantiles of the noise are 1.645 deviations from x; no row was used to calibrate."""
    codec, head = learned(Regression(error=error), steps=300)
    features, _, deviation = noisy(200, seed=1)
    found = codec.decode(head(features).detach())
    for name, shift in (("", 0.0), ("low", -1.645), ("high", 1.645)):
        apart = (torch.tensor(found[name]) - features[:, 0] - shift * deviation).abs() / deviation
        for d in (deviation < 1, deviation > 1):
            assert apart[d].mean() < 0.35, name


# --- intervals


@pytest.mark.parametrize("wrong_by", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("error", ["quantile", "gaussian"])
def test_new_rows_lie_in_the_interval_as_often_as_promised(error: str, wrong_by: float) -> None:
    """Whether the stated spread is right or not; where it is right but for a factor, in calm and wild rows alike.

    Of quantiles the correction adds: stated ones that are too narrow everywhere stay too narrow in wild rows.
    """
    held, calm, wild = [], [], []
    for seed in range(300):
        features, y, deviation = noisy(199 + 40, seed=seed + 10)
        codec, output = stated(error, features[:, 0], wrong_by * deviation)
        fitted = codec.calibrated(output[:199], y[:199])
        found = fitted.decode(output[199:])
        new = y[199:].double()
        inside = (torch.tensor(found["low"]) <= new) & (new <= torch.tensor(found["high"]))
        held.append(inside.double().mean().item())
        calm += inside[deviation[199:] < 1].tolist()
        wild += inside[deviation[199:] > 1].tolist()
    assert abs(np.mean(held) - 0.9) < 4 * np.std(held) / math.sqrt(300)  # ceil(200 * 0.9) / 200 is 0.9 itself
    if error == "gaussian" or wrong_by == 1:
        assert abs(np.mean(calm) - 0.9) < 0.02
        assert abs(np.mean(wild) - 0.9) < 0.02


def stated(error: str, mean: Tensor, deviation: Tensor) -> tuple[Codec, Tensor]:
    """A codec of standardised numbers, and the output that states this mean and deviation."""
    if error == "gaussian":
        return GaussianCodec(center=0.0, scale=1.0, interval=0.9), torch.stack([mean, raw_of(deviation)], dim=1)
    quantiles = [mean + deviation * stats.norm.ppf(level) for level in LEVELS]
    return QuantileCodec(center=0.0, scale=1.0, interval=0.9, levels=LEVELS), torch.stack(quantiles, dim=1)


def test_a_constant_width_would_not_hold_wild_rows() -> None:
    """What the two errors are for: the plain interval is right on average and wrong for either half of the rows."""
    features, y, deviation = noisy(4000, seed=5)
    codec = Regression().fit([-1.0, 1.0])
    found = codec.calibrated(features[:2000, 0], y[:2000]).decode(features[2000:, 0])
    inside = (torch.tensor(found["low"]) <= y[2000:].double()) & (y[2000:].double() <= torch.tensor(found["high"]))
    assert inside[deviation[2000:] < 1].double().mean() > 0.99
    assert inside[deviation[2000:] > 1].double().mean() < 0.85


def test_the_correction_by_hand() -> None:
    """Outer quantiles at -1 and 1: scores max(-1 - y, y - 1) of 0.5, 1, -1, -0.5, of 4 the 3rd is held by 0.6."""
    codec = QuantileCodec(center=10.0, scale=2.0, interval=0.6, levels=LEVELS)
    output = torch.tensor([[-1.0, 0.2, 1.0]]).expand(4, 3)
    fitted = codec.calibrated(output, torch.tensor([1.5, -2.0, 0.0, 0.5]))
    assert fitted.correction == pytest.approx(0.5)
    found = fitted.decode(torch.tensor([[-1.0, 0.2, 1.0], [1.0, -1.0, 0.2]]))  # crossed: sorted
    assert found == {
        "": pytest.approx([10.4, 10.4]),
        "low": pytest.approx([7.0, 7.0]),
        "high": pytest.approx([13.0, 13.0]),
    }
    narrow = codec.calibrated(output, torch.zeros(4))
    assert narrow.correction == pytest.approx(-1)
    found = narrow.decode(output[:1])  # -1 + 1 and 1 - 1, but never beyond the median
    assert found == {"": pytest.approx([10.4]), "low": pytest.approx([10.0]), "high": pytest.approx([10.4])}
    assert codec.calibrated(output[:1], torch.zeros(1)).correction is None
    assert codec.decode(output[:1])["high"] == [12.0]


def test_the_width_by_hand() -> None:
    """Deviations 1 and 2: scores |y| / s of 1, 2, 3, 0.5, of 4 the 3rd is held by 0.6; before, 0.84 deviations."""
    codec = GaussianCodec(center=10.0, scale=2.0, interval=0.6)
    deviation = torch.tensor([1.0, 2.0, 1.0, 2.0])
    output = torch.stack([torch.zeros(4), raw_of(deviation)], dim=1)
    fitted = codec.calibrated(output, torch.tensor([1.0, -4.0, 3.0, 1.0]))
    assert fitted.width == pytest.approx(2.0)
    assert fitted.decode(output[1:2]) == {"": [10.0], "low": pytest.approx([2.0]), "high": pytest.approx([18.0])}
    assert codec.decode(output[:1])["high"] == pytest.approx([10 + 2 * stats.norm.ppf(0.8)], rel=1e-5)
    assert codec.calibrated(output[:1], torch.zeros(1)).width is None


def test_one_quantile_has_an_interval_once_calibrated() -> None:
    codec = Regression(error="quantile", quantiles=(0.5,), interval=0.5).fit([0.0, 2.0])
    assert set(codec.decode(torch.zeros(1, 1))) == {""}
    found = codec.calibrated(torch.zeros(3, 1), torch.tensor([0.5, -1.0, 2.0])).decode(torch.zeros(1, 1))
    assert found == {"": [1.0], "low": [0.0], "high": [2.0]}


# --- joining Gaussians


def opinions(means: Tensor, deviations: Tensor, there: Tensor) -> dict[str, Opinion]:
    """Streams a, b, ... of `[S, B]`, with equal shares over those present."""
    share = there / there.sum(0).clamp(min=1)
    outputs = torch.stack([means, raw_of(deviations)], dim=-1)
    return {
        "abc"[s]: Opinion(outputs[s], torch.zeros(means.shape[1], 1), there[s], share[s]) for s in range(len(means))
    }


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_joined_gaussians_by_loops(seed: int) -> None:
    """The moments of the mixture, drawn here as points at mean +- deviation; and the product of the densities."""
    chance = torch.Generator().manual_seed(seed)
    means, deviations = torch.randn(3, 4, generator=chance).double(), 0.1 + torch.rand(3, 4, generator=chance).double()
    there = torch.rand(3, 4, generator=chance) < 0.7
    there[0] = True
    said = opinions(means, deviations, there)
    joining = Joining(("a", "b", "c"), 1, (2,), Regression(error="gaussian").loss)
    mixed, multiplied = MeanOfGaussians(joining)(said), ProductOfGaussians(joining)(said)
    for row in range(4):
        heard = [s for s in range(3) if there[s, row]]
        points = [means[s, row] + sign * deviations[s, row] for s in heard for sign in (-1, 1)]
        assert mixed[row, 0].item() == pytest.approx(np.mean(points), abs=1e-6)
        assert deviation_of(mixed[row, 1]).item() == pytest.approx(np.std(points), rel=1e-5)
        y = np.linspace(-12, 12, 20001)
        log_density = np.mean([stats.norm.logpdf(y, means[s, row], deviations[s, row]) for s in heard], axis=0)
        weight = np.exp(log_density - log_density.max())
        mean = (y * weight).sum() / weight.sum()
        assert multiplied[row, 0].item() == pytest.approx(mean, abs=1e-5)
        variance = ((y - mean) ** 2 * weight).sum() / weight.sum()
        assert deviation_of(multiplied[row, 1]).item() == pytest.approx(math.sqrt(variance), rel=1e-4)
