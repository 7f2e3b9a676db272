import math

import numpy as np
import pytest
import torch

from motet.evaluation import baseline, score
from motet.evaluation.interval import Resampling, percentiles
from motet.tasks import Binary, Multiclass, Multilabel, Regression

CODEC = Binary().fit(["no", "yes"])


def coin(num_rows: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = (torch.rand(num_rows, generator=generator) < 0.5).float()
    right = torch.rand(num_rows, generator=generator) < 0.8
    return torch.where(right, target, 1 - target) * 2 - 1, target


def test_values_are_the_metrics_and_lie_in_their_intervals() -> None:
    output, target = coin(300)
    scores = score(CODEC, output, target, seed=0)
    assert list(scores) == ["auroc", "accuracy", "f1", "average_precision", "ece"]
    for metric in CODEC.metrics():
        one = scores[metric.name]
        assert one.value == metric.compute(output, target)
        assert one.low <= one.value <= one.high
        assert one.higher_is_better == metric.higher_is_better


def test_the_interval_is_as_wide_as_theory_says() -> None:
    output, target = coin(1000)
    one = score(CODEC, output, target, seed=0, resamples=1000)["accuracy"]
    expected = 1.96 * math.sqrt(one.value * (1 - one.value) / 1000)
    assert (one.high - one.low) / 2 == pytest.approx(expected, rel=0.1)
    narrow = score(CODEC, output, target, seed=0, resamples=1000, level=0.5)["accuracy"]
    assert (narrow.high - narrow.low) / 2 == pytest.approx(expected * 0.6745 / 1.96, rel=0.15)


def test_the_interval_is_keyed_by_the_seed_alone() -> None:
    output, target = coin(50)
    torch.manual_seed(1)
    first = score(CODEC, output, target, seed=3)
    torch.manual_seed(2)
    np.random.default_rng(0).random()
    assert score(CODEC, output, target, seed=3) == first
    assert score(CODEC, output, target, seed=4) != first


def test_resamples_in_which_a_score_does_not_exist_are_passed_over() -> None:
    output, target = torch.tensor([1.0, -1.0, -2.0, -3.0]), torch.tensor([1.0, 0.0, 0.0, 0.0])
    one = score(CODEC, output, target, seed=0)["auroc"]
    assert (one.value, one.high) == (1.0, 1.0)
    assert one.low == pytest.approx(0.05 ** (1 / 4))  # four rows, all alike


@pytest.mark.parametrize("num_rows", [0, 1])
def test_no_row_and_one_row(num_rows: int) -> None:
    for codec, output, target in (
        (CODEC, torch.ones(num_rows), torch.ones(num_rows)),
        (Multiclass().fit("ab"), torch.ones(num_rows, 2), torch.ones(num_rows, dtype=torch.int64)),
        (Multilabel().fit(["a|b"]), torch.ones(num_rows, 2), torch.ones(num_rows, 2)),
        (Regression().fit([0, 1]), torch.ones(num_rows), torch.ones(num_rows)),
    ):
        scores = score(codec, output, target, seed=0, resamples=5)
        assert all(math.isnan(one.value) for one in scores.values()) == (num_rows == 0)


def test_percentiles_pass_over_what_is_not_there() -> None:
    assert percentiles(np.array([np.nan, 1.0, np.nan, 3.0]), level=1.0) == (1.0, 3.0)
    assert all(map(math.isnan, percentiles(np.array([np.nan]), level=0.9)))
    assert list(Resampling(0, None, 0, 3).rows()) == []


def test_the_baseline_is_the_prior_for_every_row() -> None:
    target = torch.tensor([0.0, 0.0, 0.0, 1.0])
    scores = baseline(CODEC, CODEC.prior(target), target)
    assert scores["accuracy"] == 0.75
    assert scores["auroc"] == 0.5
    assert scores["f1"] == 0.0

    codec = Regression().fit([0.0, 10.0])
    target = codec.batch([codec.read(value) for value in (0, 10, 20, 30)])["target"]
    scores = baseline(codec, codec.prior(target), target)
    assert scores["mae"] == pytest.approx(10.0)
    assert scores["r2"] == pytest.approx(0.0, abs=1e-6)
    assert math.isnan(scores["spearman"])
    assert math.isnan(baseline(codec, codec.prior(target), target[:0])["mae"])
