"""Calibration, coverage, abstention and suspects of outputs made up for the purpose."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from motet.evaluation.abstention import abstention
from motet.evaluation.calibration import calibration
from motet.evaluation.coverage import coverage
from motet.evaluation.rowwise import confidence, row_scores
from motet.evaluation.sampling import Sampling
from motet.evaluation.suspects import suspects
from motet.tasks import Binary, Codec, Multiclass, Multilabel, Ordinal, Regression, Survival

BINARY = Binary().fit(["no", "yes"])
THREE = Multiclass().fit(["a", "b", "c"])
ALWAYS = Sampling(seed=0, resamples=50)


def said(num_rows: int, *, seed: int = 0, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Logits of three classes, `scale` times too sure, and truths by the probabilities that are right."""
    random = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(num_rows, 3, generator=random)
    return scale * logits, torch.multinomial(logits.softmax(-1), 1, generator=random)[:, 0]


# --- calibration


def test_calibration_is_the_metric_before_and_after() -> None:
    output, target = said(2000, scale=3.0)
    codec = THREE.calibrated(output[:1000], target[:1000])
    output, target = output[1000:], target[1000:]
    found = calibration(codec, output, target, fitted_on="valid", same_rows=False)
    assert found is not None
    ece = {
        name: next(one for one in which.metrics() if one.name == "ece") for name, which in (("b", THREE), ("a", codec))
    }
    assert (found.before, found.after) == (ece["b"].compute(output, target), ece["a"].compute(output, target))
    assert found.before > 0.1 > 0.05 > found.after
    assert (found.temperature, found.fitted_on, found.same_rows) == (codec.temperature, "valid", False)
    for bins in (found.bins, found.bins_before):
        assert sum(one.rows for one in bins) == 1000
    assert max(abs(one.accuracy - one.confidence) for one in found.bins if one.rows > 50) < 0.12
    assert max(abs(one.accuracy - one.confidence) for one in found.bins_before if one.rows > 50) > 0.15


def test_calibration_of_two_labels_and_of_several_is_that_of_each_yes() -> None:
    output, target = torch.tensor([[2.0, -2.0], [-2.0, -2.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    stated = 1 / (1 + math.exp(2))
    found = calibration(Multilabel().fit(["x|y"]), output, target, fitted_on=None, same_rows=False)
    assert found is not None
    assert found.before == found.after == pytest.approx((stated + 3 * abs(1 / 3 - stated)) / 4)
    assert (found.temperature, found.fitted_on, found.same_rows) == (None, None, None)
    found = calibration(BINARY, output[:, 0], target[:, 0], fitted_on="valid", same_rows=True)
    assert found is not None
    assert [(one.accuracy, one.rows) for one in found.bins] == [(1.0, 1), (1.0, 1)]
    assert found.bins[0].confidence == pytest.approx(stated)


# --- coverage


def test_coverage_counts_the_sets_and_the_intervals_that_hold_the_truth() -> None:
    codec = THREE.model_copy(update={"bound": -math.log(0.25)})
    output = torch.tensor([[0.7, 0.2, 0.1], [0.4, 0.3, 0.3], [0.5, 0.3, 0.2]]).log()
    found = coverage(codec, output, torch.tensor([1, 2, -1]), sampling=ALWAYS, same_rows=True)
    assert found is not None
    assert (found.stated, found.kind, found.same_rows) == (0.9, "set", True)
    assert found.found.value == pytest.approx(1 / 3)  # the second; no set holds a label never trained on
    assert found.size == 2.0
    assert coverage(THREE, output, torch.tensor([1, 2, 0]), sampling=ALWAYS, same_rows=True) is None
    numbers = Regression(interval=0.5).fit([-2.0, 2.0]).model_copy(update={"half_width": 0.5})
    found = coverage(numbers, torch.zeros(4), torch.tensor([0.4, -0.5, 0.6, 2.0]), sampling=ALWAYS, same_rows=False)
    assert found is not None
    assert (found.stated, found.kind, found.found.value, found.size) == (0.5, "interval", 0.5, 2.0)


def test_coverage_of_several_numbers_is_that_of_each() -> None:
    codec = Regression(columns=("a", "b")).fit([[-1.0, -10.0], [1.0, 10.0]])
    codec = codec.calibrated(torch.zeros(9, 2), torch.tensor([[0.5, 1.0]] * 9))
    found = coverage(codec, torch.zeros(2, 2), torch.tensor([[0.4, 2.0], [0.6, 0.9]]), sampling=ALWAYS, same_rows=False)
    assert found is not None
    assert found.found.value == 0.5
    assert math.isnan(found.size)


# --- abstention


def test_the_surest_are_answered_first() -> None:
    logit = torch.cat([torch.linspace(0.1, 5, 50), -torch.linspace(0.1, 5, 50)])
    target = (logit > 0).float()
    target[logit.abs() < 2.0] = 1 - target[logit.abs() < 2.0]  # who is not sure is wrong
    curve = abstention(BINARY, logit, target, sampling=ALWAYS)
    wrong = int((logit.abs() < 2.0).sum())
    assert [one.kept for one in curve] == [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    for one in curve:
        assert one.metric == "accuracy"
        assert one.rows == round(100 * one.kept)
        assert one.value == pytest.approx(min(1.0, (100 - wrong) / one.rows))
        assert one.low <= one.value <= one.high
    assert [one.rows for one in abstention(BINARY, logit[40:60], target[40:60], sampling=ALWAYS)] == [
        20,
        18,
        16,
        14,
        12,
        10,
    ]


def test_numbers_are_sure_where_their_interval_is_narrow() -> None:
    random = torch.Generator().manual_seed(0)
    deviation = torch.rand(400, generator=random) + 0.1
    codec = Regression(error="gaussian").fit([-1.0, 1.0])
    output = torch.stack([torch.zeros(400), torch.log(torch.expm1(deviation))], dim=-1)
    curve = abstention(codec, output, deviation * torch.randn(400, generator=random), sampling=ALWAYS)
    assert curve[0].metric == "mae"
    assert curve[-1].value < 0.5 * curve[0].value
    point = Regression().fit([-1.0, 1.0]).model_copy(update={"half_width": 1.0})
    assert abstention(point, torch.zeros(50), torch.ones(50), sampling=ALWAYS) == ()  # all rows are as sure
    assert confidence(point, torch.zeros(50)) is None


def test_what_has_no_answer_of_rows_has_none_of_this() -> None:
    survival: Codec = Survival(event="e").fit([[1.0, 1], [2.0, 1], [3.0, 0]])
    output, target = torch.zeros(20), torch.ones(20, 2)
    assert row_scores(survival, output, target) is None
    assert abstention(survival, output, target, sampling=ALWAYS) == ()
    assert suspects(survival, output, target) == ()
    assert calibration(survival, output, target, fitted_on="valid", same_rows=False) is None
    assert coverage(survival, output, target, sampling=ALWAYS, same_rows=False) is None
    for codec, nothing in (
        (BINARY, torch.zeros(0)),
        (THREE, torch.zeros(0, 3)),
        (Regression().fit([0, 1]), torch.zeros(0)),
    ):
        assert calibration(codec, nothing, torch.zeros(0), fitted_on="valid", same_rows=False) is None
        assert coverage(codec, nothing, torch.zeros(0), sampling=ALWAYS, same_rows=False) is None
        assert abstention(codec, nothing, torch.zeros(0), sampling=ALWAYS) == ()
        assert suspects(codec, nothing, torch.zeros(0)) == ()


# --- suspects


def test_suspects_by_the_paper() -> None:
    """Northcutt et al., section 3.1 and 3.2, written out in loops."""
    output, target = said(300, seed=7)
    probability = output.double().softmax(-1).numpy()
    truth = target.numpy()
    threshold = [probability[truth == label, label].mean() for label in range(3)]
    expected = []
    for row in range(300):
        sure = [label for label in range(3) if probability[row, label] >= threshold[label]]
        if sure:
            answer = max(sure, key=lambda label: probability[row, label])
            if answer != truth[row]:
                expected.append((probability[row, truth[row]] - probability[row, answer], row, answer))
    found = suspects(THREE, output, target, most=1000, place=lambda row: f"row {row}")
    assert len(found) > 10
    assert [one.row for one in found] == [f"row {row}" for _, row, _ in sorted(expected)]
    np.testing.assert_allclose([one.margin for one in found], [margin for margin, _, _ in sorted(expected)])
    assert [one.answer for one in found] == ["abc"[answer] for _, _, answer in sorted(expected)]
    assert len(suspects(THREE, output, target)) == min(20, len(found))


def test_labels_that_were_changed_come_first() -> None:
    random = np.random.default_rng(0)
    for codec in (THREE, Ordinal(levels=("a", "b", "c")).fit(["a", "b", "c"])):
        output, target = said(2000, seed=8, scale=3.0)
        target = output.argmax(-1) if codec is THREE else codec.answered(output)
        lies = random.choice(2000, 20, replace=False)
        lies = lies[output.softmax(-1).amax(-1)[lies].numpy() > 0.95]
        target[lies] = (target[lies] + 1) % 3
        found = [int(one.row) for one in suspects(codec, output, target)]
        assert len(lies) > 8
        assert set(found[: len(lies)]) == set(lies.tolist())


def test_a_label_never_trained_on_is_no_suspect() -> None:
    output = torch.tensor([[5.0, 0.0, 0.0], [5.0, 0.0, 0.0], [0.0, 5.0, 0.0]])
    assert suspects(THREE, output, torch.tensor([-1, 0, 1])) == ()
    assert suspects(THREE, output, torch.tensor([-1, -1, -1])) == ()
