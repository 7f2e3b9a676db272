"""Every metric against torchmetrics and scikit-learn, and where a score does not exist."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from motet.tasks import Binary, Codec, Multiclass, Multilabel, Regression


def scores(codec: Codec, output: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    return {metric.name: metric.compute(output, target) for metric in codec.metrics()}


def draw(seed: int, *, ties: bool) -> Callable[..., torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        values = torch.randn(*shape, generator=generator) * 2
        return (values * 2).round() / 2 if ties else values

    return noise


BINARY = Binary().fit(["no", "yes"])
CLASSES = Multiclass().fit(list("abcd"))
LABELS = Multilabel().fit(["a|b|c"])
NUMBER = Regression().fit([0.0, 20.0])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_binary(seed: int, ties: bool) -> None:
    from torchmetrics.functional import classification as tm

    noise = draw(seed, ties=ties)
    logit = noise(157)
    target = (torch.sigmoid(logit + noise(157)) > 0.6).float()
    probability, truth = logit.double().sigmoid(), target.long()
    assert scores(BINARY, logit, target) == pytest.approx(
        {
            "auroc": tm.binary_auroc(probability, truth).item(),
            "accuracy": tm.binary_accuracy(probability, truth).item(),
            "f1": tm.binary_f1_score(probability, truth).item(),
            "average_precision": tm.binary_average_precision(probability, truth).item(),
            "ece": tm.binary_calibration_error(probability, truth, n_bins=15).item(),
        },
        abs=1e-6,
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_multiclass(seed: int, ties: bool) -> None:
    from torchmetrics.functional import classification as tm

    noise = draw(seed, ties=False)
    logits = noise(40, 4).repeat(4, 1) if ties else noise(157, 4)
    target = (logits + noise(*logits.shape)).argmax(-1)
    probability = logits.double().softmax(-1)
    assert scores(CLASSES, logits, target) == pytest.approx(
        {
            "accuracy": tm.multiclass_accuracy(logits, target, 4, average="micro").item(),
            "macro_f1": tm.multiclass_f1_score(logits, target, 4, average="macro").item(),
            "weighted_f1": tm.multiclass_f1_score(logits, target, 4, average="weighted").item(),
            "auroc": tm.multiclass_auroc(probability, target, 4).item(),
            "ece": tm.multiclass_calibration_error(probability, target, 4, n_bins=15).item(),
        },
        abs=1e-6,
    )


@pytest.mark.parametrize("seed", range(3))
def test_multilabel(seed: int) -> None:
    from torchmetrics.functional import classification as tm

    noise = draw(seed, ties=False)
    logits = noise(157, 3)
    target = (logits + noise(157, 3) > 1).float()
    probability, truth = logits.double().sigmoid(), target.long()
    assert scores(LABELS, logits, target) == pytest.approx(
        {
            "macro_f1": tm.multilabel_f1_score(probability, truth, 3, average="macro").item(),
            "micro_f1": tm.multilabel_f1_score(probability, truth, 3, average="micro").item(),
            "hamming": tm.multilabel_hamming_distance(probability, truth, 3).item(),
            "auroc": tm.multilabel_auroc(probability, truth, 3).item(),
        },
        abs=1e-6,
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_regression(seed: int, ties: bool) -> None:
    from torchmetrics.functional import regression as tm

    noise = draw(seed, ties=ties)
    value = noise(157)
    target = value + noise(157)
    f, y = (10 * value + 10).double(), (10 * target + 10).double()
    assert scores(NUMBER, value, target) == pytest.approx(
        {
            "r2": tm.r2_score(f, y).item(),
            "mae": tm.mean_absolute_error(f, y).item(),
            "rmse": math.sqrt(tm.mean_squared_error(f, y).item()),
            "spearman": tm.spearman_corrcoef(f, y).item(),
        },
        abs=1e-5,
    )


def test_scikit_learn_agrees_too() -> None:
    from sklearn import metrics as sk

    noise = draw(5, ties=True)
    logit = noise(90)
    target = (noise(90) + logit > 0).float()
    ours = scores(BINARY, logit, target)
    assert ours["auroc"] == pytest.approx(sk.roc_auc_score(target, logit))
    assert ours["average_precision"] == pytest.approx(sk.average_precision_score(target, logit))
    assert ours["f1"] == pytest.approx(sk.f1_score(target, logit > 0))
    logits, number = draw(5, ties=False)(30, 4).double().repeat(3, 1), torch.arange(90) % 4
    ours = scores(CLASSES, logits, number)
    assert ours["macro_f1"] == pytest.approx(sk.f1_score(number, logits.argmax(-1), average="macro"))
    assert ours["auroc"] == pytest.approx(sk.roc_auc_score(number, logits.softmax(-1), multi_class="ovr"), abs=1e-6)


def test_a_class_that_is_not_there_is_left_out_of_the_average() -> None:
    logits = torch.eye(4)[[0, 1, 2, 0]] * 5
    ours = scores(CLASSES, logits, torch.tensor([0, 1, 2, 0]))
    assert ours["auroc"] == 1.0
    assert ours["macro_f1"] == 1.0
    labels = torch.tensor([[1.0, 1.0, -1.0], [-1.0, 1.0, -1.0]])
    ours = scores(LABELS, labels, torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]))
    assert ours["auroc"] == 1.0  # only the first label has both
    assert ours["macro_f1"] == 1.0  # the third is neither true nor answered


@pytest.mark.parametrize(
    ("codec", "output", "target", "undefined"),
    [
        (BINARY, torch.tensor([1.0, -1.0]), torch.zeros(2), {"auroc", "average_precision"}),
        (BINARY, torch.tensor([-1.0, -2.0]), torch.zeros(2), {"auroc", "average_precision", "f1"}),
        (BINARY, torch.tensor([1.0, 2.0]), torch.ones(2), {"auroc"}),
        (CLASSES, torch.eye(4)[:2], torch.zeros(2, dtype=torch.int64), {"auroc"}),
        (LABELS, -torch.ones(2, 3), torch.zeros(2, 3), {"macro_f1", "micro_f1", "auroc"}),
        (NUMBER, torch.tensor([1.0, 2.0]), torch.ones(2), {"r2", "spearman"}),
        (NUMBER, torch.ones(2), torch.tensor([1.0, 2.0]), {"spearman"}),
    ],
)
def test_a_score_that_does_not_exist_is_nan(
    codec: Codec, output: torch.Tensor, target: torch.Tensor, undefined: set[str]
) -> None:
    assert {name for name, value in scores(codec, output, target).items() if math.isnan(value)} == undefined


def test_a_constant_answer_ranks_nothing() -> None:
    ours = scores(BINARY, torch.full((10,), -1.0), torch.tensor([1.0] * 3 + [0.0] * 7))
    assert ours["auroc"] == 0.5
    assert ours["average_precision"] == pytest.approx(0.3)
    assert ours["ece"] == pytest.approx(0.3 - 1 / (1 + math.e))


def test_confidence_of_exactly_one_has_a_bin() -> None:
    ours = scores(BINARY, torch.tensor([100.0, -1000.0]), torch.tensor([1.0, 0.0]))
    assert ours["ece"] == pytest.approx(0.0)


def test_the_library_is_not_imported() -> None:
    import subprocess
    import sys

    code = "import motet.tasks, sys; print([name for name in ('torchmetrics', 'sklearn') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_higher_is_better_is_said_of_each() -> None:
    lower: dict[str, Any] = {
        metric.name: metric.higher_is_better
        for codec in (BINARY, CLASSES, LABELS, NUMBER)
        for metric in codec.metrics()
        if not metric.higher_is_better
    }
    assert set(lower) == {"ece", "hamming", "mae", "rmse"}


@pytest.mark.parametrize("ties", [False, True])
def test_a_draw_of_rows_scores_what_these_rows_score(ties: bool) -> None:
    codec, draw = Binary().fit(["no", "yes"]), torch.Generator().manual_seed(0)
    output = torch.randn(40, generator=draw)
    output = output.round() if ties else output
    target = (torch.rand(40, generator=draw) < 0.4).float()
    for metric in codec.metrics():
        of_rows = metric.of_rows(output, target)
        for rows in (torch.randint(40, (40,), generator=draw), torch.tensor([3, 3, 5]), target.nonzero().squeeze(1)):
            alone = metric.compute(output[rows], target[rows])
            assert of_rows(rows) == pytest.approx(alone, abs=1e-12, nan_ok=True), metric.name
    assert math.isnan(
        codec.metrics()[0].of_rows(torch.tensor([math.nan, 1.0]), torch.tensor([0.0, 1.0]))(torch.tensor([0, 1]))
    )
