"""How sure a classifier is: the temperature held-out rows ask for, and sets that hold the truth as often as stated."""

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torch import Tensor

from motet.tasks import Binary, Count, Multiclass, Multilabel, Ordinal, Regression
from motet.tasks.base import Codec
from motet.tasks.classes import ClassCodec, uncalibrated
from motet.tasks.ordinal import OrdinalCodec
from motet.tasks.ordinal.cumulative import tempered
from motet.tasks.temperature import fit_temperature

BINARY = Binary().fit(["no", "yes"])
MULTICLASS = Multiclass().fit(["a", "b", "c", "d"])
ORDINAL = Ordinal(levels=(1, 2, 3, 4)).fit([1, 2, 3, 4])
MULTILABEL = Multilabel().fit(["x|y", "y"])


def outputs(codec: Codec, num_rows: int, *, seed: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Outputs `scale` times too sure, and targets drawn by the probabilities that are right."""
    random = torch.Generator().manual_seed(seed)
    if codec is BINARY or codec is MULTILABEL:
        logit = 1.5 * torch.randn((num_rows, 2)[: 1 + (codec is MULTILABEL)], generator=random)
        return scale * logit, (torch.rand(logit.shape, generator=random) < logit.sigmoid()).float()
    logits = 1.5 * torch.randn(num_rows, 4, generator=random)
    target = torch.multinomial(logits.softmax(-1), 1, generator=random)[:, 0]
    return scale * logits.log_softmax(-1), target


def loss_by_hand(codec: Codec, output: Tensor, target: Tensor, temperature: float) -> float:
    """Summed over rows, by the equations."""
    total = 0.0
    for row, truth in zip(output.double().tolist(), target.tolist(), strict=True):
        if isinstance(row, float) or codec is MULTILABEL:
            pairs = [(row, truth)] if isinstance(row, float) else list(zip(row, truth, strict=True))
            total += sum(math.log1p(math.exp(-(2 * one - 1) * logit / temperature)) for logit, one in pairs)
        elif codec is MULTICLASS:
            total += math.log(sum(math.exp((logit - row[truth]) / temperature) for logit in row))
        else:
            share = np.exp(row) / np.exp(row).sum()
            below = [0.0, *np.cumsum(share)[:-1], 1.0]
            ends = [one if one in (0.0, 1.0) else 1 / (1 + (1 / one - 1) ** (1 / temperature)) for one in below]
            total -= math.log(ends[truth + 1] - ends[truth])
    return total


@pytest.mark.parametrize(
    "codec", [BINARY, MULTICLASS, ORDINAL, MULTILABEL], ids=["binary", "multi", "ordinal", "labels"]
)
def test_the_temperature_is_the_least_loss_with_one_row_more(codec: Codec) -> None:
    output, target = outputs(codec, 60, seed=1, scale=2.5)
    fitted = codec.calibrated(output, target).model_dump()["temperature"]
    reference = minimize_scalar(
        lambda log: loss_by_hand(codec, output, target, math.exp(log)) + math.exp(-log) - 1 + log,
        bounds=(-2.9, 2.9),
        method="bounded",
        options={"xatol": 1e-7},
    )
    assert math.log(fitted) == pytest.approx(reference.x, abs=1e-4)


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_outputs_that_are_too_sure_or_not_sure_enough_are_put_right(scale: float) -> None:
    for codec in (BINARY, MULTICLASS, MULTILABEL):
        fitted = codec.calibrated(*outputs(codec, 4000, seed=2, scale=scale)).model_dump()["temperature"]
        assert fitted == pytest.approx(scale, rel=0.1)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), num_rows=st.integers(2, 30), scale=st.floats(0.01, 30))
def test_the_fitted_rows_are_never_less_likely_and_answers_stay(seed: int, num_rows: int, scale: float) -> None:
    for codec in (BINARY, MULTICLASS, ORDINAL, MULTILABEL):
        output, target = outputs(codec, num_rows, seed=seed, scale=scale)
        fitted = codec.calibrated(output, target)
        temperature = fitted.model_dump()["temperature"]
        assert 0.05 <= temperature <= 20
        if codec is not ORDINAL:  # by hand its differences cancel
            before, after = (loss_by_hand(codec, output, target, one) for one in (1.0, temperature))
            assert after <= before * (1 + 1e-9) + 1e-9
        assert fitted.decode(output)[""] == codec.decode(output)[""]
        for old, new in zip(codec.metrics(), fitted.metrics(), strict=True):
            if old.name != "ece":
                np.testing.assert_equal(new.compute(output, target), old.compute(output, target))


def test_the_calibration_error_is_that_of_the_tempered_probabilities() -> None:
    for codec in (BINARY, MULTICLASS):
        output, target = outputs(codec, 3000, seed=3, scale=4.0)
        fitted = codec.calibrated(output[:1500], target[:1500])
        before, after = (
            next(one for one in which.metrics() if one.name == "ece").compute(output[1500:], target[1500:])
            for which in (codec, fitted)
        )
        assert before > 0.1
        assert after < 0.05
        assert next(one for one in uncalibrated(fitted).metrics() if one.name == "ece").compute(
            output[1500:], target[1500:]
        ) == pytest.approx(before)


def test_where_nothing_is_to_be_learned_the_temperature_is_1() -> None:
    nan = torch.full((30,), torch.nan)
    for output, target in (
        (torch.zeros(0), torch.zeros(0)),
        (torch.randn(30), torch.ones(30)),
        (nan, nan.isnan() * 1.0),
    ):
        fitted = BINARY.calibrated(output, target)
        assert fitted.temperature == 1.0
    assert BINARY.calibrated(nan, torch.arange(30) % 2 * 1.0).temperature == 1.0
    assert MULTILABEL.calibrated(torch.randn(9, 2), torch.zeros(9, 2)).temperature == 1.0
    assert fit_temperature(lambda temperature: math.inf) == 1.0


def test_few_rows_all_answered_right_do_not_make_it_certain() -> None:
    fitted = BINARY.calibrated(torch.tensor([2.0, -2.0] * 10), torch.tensor([1.0, 0.0] * 10))
    assert 0.95 < fitted.decode(torch.tensor([2.0]))["probability"][0] < 0.999


def test_what_is_answered_is_as_likely_as_it_is_said_to_be() -> None:
    for codec in (BINARY, MULTICLASS, ORDINAL):
        output, target = outputs(codec, 50, seed=6, scale=3.0)
        fitted = codec.calibrated(output, target)
        assert isinstance(fitted, ClassCodec)
        assert fitted.temperature != 1.0
        every = fitted.probabilities(output)
        torch.testing.assert_close(every.sum(1), torch.ones(50, dtype=torch.float64))
        said = torch.tensor(fitted.decode(output)["probability"], dtype=torch.float64)
        number = torch.ones(50, dtype=torch.int64) if codec is BINARY else fitted.answered(output)
        torch.testing.assert_close(said, every.gather(1, number[:, None])[:, 0])
        assert [fitted.known[one] for one in fitted.answered(output)] == fitted.decode(output)[""]


def test_codecs_of_older_bundles_are_read() -> None:
    for spec, codec in (
        (Binary(), BINARY),
        (Multiclass(), MULTICLASS),
        (Ordinal(), ORDINAL),
        (Multilabel(), MULTILABEL),
    ):
        state = json.loads(codec.model_dump_json())
        old = {name: value for name, value in state.items() if name not in ("temperature", "coverage", "bound")}
        assert spec.restore(old) == codec
        fitted = codec.calibrated(*outputs(codec, 40, seed=4, scale=2.0))
        assert fitted != codec
        assert spec.restore(json.loads(fitted.model_dump_json())) == fitted


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), temperature=st.floats(0.05, 20), scale=st.floats(0.01, 200))
def test_tempered_levels_are_probabilities_with_the_same_median(seed: int, temperature: float, scale: float) -> None:
    random = torch.Generator().manual_seed(seed)
    for classes in (2, 3, 6):
        given_ = (scale * torch.randn(20, classes, generator=random, dtype=torch.float64)).log_softmax(-1)
        found = tempered(given_, temperature).exp()
        assert bool(found.isfinite().all())
        torch.testing.assert_close(found.sum(-1), torch.ones(20, dtype=torch.float64))
        codec = OrdinalCodec(classes=tuple(range(classes)))
        assert codec.decode(found.log())[""] == codec.decode(given_)[""]
        torch.testing.assert_close(tempered(given_, 1.0).exp(), given_.exp(), atol=1e-9, rtol=1e-6)


# --- sets


def test_a_set_by_hand() -> None:
    """Five rows, coverage 0.5: the third smallest strangeness, which are 0 (right), 0, -log 0.3, -log 0.2, -log 0.1."""
    probability = torch.tensor(
        [[0.7, 0.1, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1], [0.4, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1]]
    )
    codec = Multiclass(coverage=0.5).fit(["a", "b", "c", "d"])
    fitted = codec.calibrated(probability.log(), torch.tensor([0, 0, 1, 2, 3]))
    assert fitted.bound == pytest.approx(-math.log(0.3))
    answers = fitted.decode(torch.tensor([[0.2, 0.31, 0.48, 0.01], [0.29, 0.22, 0.2, 0.29]]).log())
    assert answers["set"] == [["b", "c"], ["a"]]
    assert "set" not in codec.decode(probability.log())
    assert codec.calibrated(probability[:0].log(), torch.zeros(0)).bound is None
    unknown = codec.calibrated(probability.log(), torch.tensor([0, 0, -1, -1, -1]))
    assert unknown.bound is None  # more rows can not be covered than may be missed


def test_sets_of_levels_have_no_gaps_and_hold_the_median() -> None:
    output, target = outputs(ORDINAL, 400, seed=5)
    for coverage in (0.3, 0.6, 0.9):
        codec = Ordinal(levels=(1, 2, 3, 4), coverage=coverage).fit([1, 2, 3, 4]).calibrated(output, target)
        answers = codec.decode(output)
        for answer, levels in zip(answers[""], answers["set"], strict=True):
            assert answer in levels
            assert levels == list(range(levels[0], levels[-1] + 1))


Draw = Callable[[np.random.Generator, int], tuple[Tensor, Tensor]]


def classes(random: np.random.Generator, num_rows: int) -> tuple[Tensor, Tensor]:
    """The outputs know something, and say it three times too surely."""
    logits = random.normal(size=(num_rows, 4))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (chances.cumsum(1) < random.random((num_rows, 1))).sum(1).clip(max=3)
    return torch.from_numpy(3 * logits), torch.from_numpy(truth)


def two(random: np.random.Generator, num_rows: int) -> tuple[Tensor, Tensor]:
    logit = random.normal(size=num_rows)
    return torch.from_numpy(3 * logit), torch.from_numpy((random.random(num_rows) < 1 / (1 + np.exp(-logit))) * 1.0)


def numbers(random: np.random.Generator, num_rows: int) -> tuple[Tensor, Tensor]:
    mean = random.normal(size=num_rows)
    return torch.from_numpy(mean), torch.from_numpy(mean + np.exp(mean / 2) * random.normal(size=num_rows))


def spread_numbers(random: np.random.Generator, num_rows: int) -> tuple[Tensor, Tensor]:
    mean, truth = numbers(random, num_rows)
    return torch.stack([mean, mean], dim=-1), truth


def quantile_numbers(random: np.random.Generator, num_rows: int) -> tuple[Tensor, Tensor]:
    mean, truth = numbers(random, num_rows)
    return torch.stack([mean - 0.3, mean, mean + 0.2], dim=-1), truth


def counts(random: np.random.Generator, num_rows: int) -> tuple[Tensor, Tensor]:
    log = random.normal(3, 0.5, size=num_rows)
    return torch.from_numpy(log), torch.from_numpy(random.poisson(np.exp(log)).astype(np.float64))


@pytest.mark.parametrize(
    ("codec", "draw"),
    [
        (Binary(coverage=0.8).fit(["no", "yes"]), two),
        (MULTICLASS, classes),
        (Multiclass(coverage=0.7).fit(["a", "b", "c", "d"]), classes),
        (ORDINAL, classes),
        (Regression().fit([-1.0, 1.0]), numbers),
        (Regression(error="gaussian").fit([-1.0, 1.0]), spread_numbers),
        (Regression(error="quantile").fit([-1.0, 1.0]), quantile_numbers),
        (Count(dispersion=1.0).fit([0, 2, 5]), counts),
    ],
    ids=["binary", "multiclass", "multiclass 0.7", "ordinal", "point", "gaussian", "quantile", "count"],
)
def test_coverage_over_many_draws_is_within_two_points_of_the_stated(codec: Codec, draw: Draw) -> None:
    random, held = np.random.default_rng(0), []
    for _ in range(120):
        output, target = draw(random, 199 + 100)
        fitted = codec.calibrated(output[:199], target[:199])
        output, target = output[199:], target[199:]
        if isinstance(fitted, ClassCodec):
            sets = fitted.sets(output)
            assert sets is not None
            held.append(sets.gather(1, target.long()[:, None]).double().mean())
        else:
            answers, truth = fitted.decode(output), np.array(fitted.decode(fitted.certain(target))[""])
            held.append(((np.array(answers["low"]) <= truth) & (truth <= np.array(answers["high"]))).mean())
    state = codec.model_dump()
    assert np.mean(held) == pytest.approx(state.get("coverage", state.get("interval")), abs=0.02)
