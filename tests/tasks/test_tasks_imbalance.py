"""Weights of classes, focal loss and label smoothing: by hand, by the papers, and nothing at all where left out."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from motet.core.errors import SpecError
from motet.core.flow import Cells
from motet.spec import load
from motet.tasks import Binary, Multiclass, Multilabel
from motet.tasks.imbalance import binary_cross_entropy, by_rarity, cross_entropy, weights_at, weights_of
from motet.testing import check_task
from motet.testing.examples import task_labels

SEED = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(40, 4, generator=SEED)
LABELS = torch.randint(4, (40,), generator=SEED)
YES = (torch.rand(40, generator=SEED) < 0.5).float()


def all_there(codec: Any, cells: list[Any]) -> Cells:
    return Cells(codec.batch([codec.read(cell) for cell in cells]), torch.ones(len(cells), dtype=torch.bool))


# --- the losses


@given(focal=st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]), smoothing=st.sampled_from([0.0, 0.1, 0.7]))
@settings(max_examples=15, deadline=None)
def test_classes_as_in_the_papers(focal: float, smoothing: float) -> None:
    losses = cross_entropy(LOGITS.double(), LABELS, focal=focal, smoothing=smoothing).tolist()
    for logits, label, found in zip(LOGITS.double().tolist(), LABELS.tolist(), losses, strict=True):
        p = [math.exp(z) / sum(math.exp(other) for other in logits) for z in logits]
        q = [(1 - smoothing) * (c == label) + smoothing / 4 for c in range(4)]
        expected = (1 - p[label]) ** focal * -sum(wanted * math.log(one) for wanted, one in zip(q, p, strict=True))
        assert found == pytest.approx(expected, rel=1e-9)


@given(focal=st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]), smoothing=st.sampled_from([0.0, 0.1, 0.7]))
@settings(max_examples=15, deadline=None)
def test_one_logit_is_two_classes(focal: float, smoothing: float) -> None:
    logit = LOGITS[:, 0].double()
    one = binary_cross_entropy(logit, YES.double(), focal=focal, smoothing=smoothing)
    two = cross_entropy(torch.stack([0 * logit, logit], -1), YES.long(), focal=focal, smoothing=smoothing)
    torch.testing.assert_close(one, two)


def test_an_easy_label_by_hand() -> None:
    """Figure 1 of Lin et al.: at p = 0.9 and gamma 2 a hundredth of the cross-entropy; at p = 1/2 a fourth."""
    logit = torch.tensor([math.log(9), 0.0], dtype=torch.float64)
    found = binary_cross_entropy(logit, torch.ones(2, dtype=torch.float64), focal=2.0)
    assert found.tolist() == pytest.approx([0.01 * -math.log(0.9), 0.25 * math.log(2)])


def test_smoothing_is_that_of_pytorch() -> None:
    expected = F.cross_entropy(LOGITS, LABELS, reduction="none", label_smoothing=0.2)
    torch.testing.assert_close(cross_entropy(LOGITS, LABELS, smoothing=0.2), expected)


def test_smoothing_ends_at_a_finite_logit() -> None:
    """The least loss is where p is the smoothed label: for s = 0.2 the log odds are log 9."""
    logit = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([logit], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        lost = binary_cross_entropy(logit, torch.ones(1, dtype=torch.float64), smoothing=0.2).sum()
        lost.backward()
        return lost

    search.step(loss)
    assert float(logit.detach()) == pytest.approx(math.log(9), abs=1e-4)


def test_without_any_of_it_the_losses_are_the_plain_ones_bit_for_bit() -> None:
    flag = YES[:, None].expand(-1, 4).contiguous()
    for task, output, label, expected in (
        (Binary(), LOGITS[:, 0], YES, F.binary_cross_entropy_with_logits(LOGITS[:, 0], YES, reduction="none")),
        (Multiclass(), LOGITS, LABELS, F.cross_entropy(LOGITS, LABELS, reduction="none")),
        (Multilabel(), LOGITS, flag, F.binary_cross_entropy_with_logits(LOGITS, flag, reduction="none").mean(-1)),
    ):
        found = task.loss(output, Cells({"target": label}, torch.ones(40, dtype=torch.bool)))
        assert torch.equal(found, expected)
    for codec, cell in ((Binary().fit(["a", "b"]), "a"), (Multiclass().fit(["a", "b"]), "a")):
        assert list(codec.batch([codec.read(cell)])) == ["target"]
    several = Multilabel().fit(["a|b", "b"])
    assert list(several.batch([several.read("a")])) == ["target"]


@pytest.mark.parametrize("focal", [0.3, 2.0])
def test_extreme_logits_have_finite_losses_and_gradients(focal: float) -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [0.0, 0.0, 1e4]], requires_grad=True)
    lost = cross_entropy(logits, torch.tensor([0, 0, 2]), focal=focal, smoothing=0.1)
    one = binary_cross_entropy(logits[0], torch.tensor([1.0, 1.0, 0.0]), focal=focal, smoothing=0.1)
    (lost.sum() + one.sum()).backward()
    assert bool(lost.isfinite().all())
    assert bool(one.isfinite().all())
    assert bool(logits.grad.isfinite().all())


def test_parts_of_any_shape_are_judged_alike() -> None:
    """For tags `[B, T, C]` and masks `[B, H, W, C]`."""
    whole = cross_entropy(LOGITS.reshape(2, 4, 5, 4), LABELS.reshape(2, 4, 5), focal=2.0, smoothing=0.1)
    torch.testing.assert_close(whole.reshape(-1), cross_entropy(LOGITS, LABELS, focal=2.0, smoothing=0.1))


# --- weights


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60))
@settings(deadline=None)
def test_balanced_weights_are_those_of_scikit_learn(labels: list[int]) -> None:
    counts = np.bincount(labels, minlength=5)
    found = np.array(by_rarity("balanced", counts.tolist()))
    there = counts > 0
    np.testing.assert_allclose(
        found[there], compute_class_weight("balanced", classes=np.flatnonzero(there), y=np.array(labels))
    )
    assert found[~there].tolist() == [1.0] * int((~there).sum())
    assert found[labels].mean() == pytest.approx(1.0)  # over the training rows


def test_root_weights_are_the_roots_of_balanced_ones_and_of_mean_1() -> None:
    counts = [9, 0, 1, 4]
    found = np.array(by_rarity("root", counts))
    np.testing.assert_allclose(found, np.array([14 / (3 * 6), 1, 14 / (1 * 6), 14 / (2 * 6)]))
    assert np.average(found, weights=counts) == pytest.approx(1.0)
    three, one = Binary(class_weights="root").fit(["no"] * 9 + ["yes"]).weights or (0, 0)
    assert one / three == pytest.approx(3.0)


def test_weights_of_labels_by_their_text() -> None:
    assert weights_of(None, {"a": 1, "b": 2}) is None
    assert weights_of({"2": 5.0}, {1: 3, 2: 4}) == (1.0, 5.0)
    assert weights_of({"true": 5.0}, {"no": 3, "yes": 4}) == (1.0, 5.0)  # YAML's bare yes
    assert weights_of({"true": 5.0}, {False: 3, True: 4}) == (1.0, 5.0)
    with pytest.raises(SpecError, match="no training row has the label 'brids'; did you mean 'birds'"):
        weights_of({"brids": 2.0}, {"birds": 3, "bees": 4})
    assert weights_at((0.5, 2.0), np.array([1, -1, 0])).tolist() == [2.0, 1.0, 0.5]


def test_weights_go_with_the_labels_and_multiply_the_loss() -> None:
    cells = ["no", "yes", "no", "no"]
    codec = Binary(class_weights="balanced").fit(cells)
    target = all_there(codec, cells)
    weight = torch.tensor([4 / 6, 4 / 2, 4 / 6, 4 / 6])
    torch.testing.assert_close(target.values["weight"], weight)
    output = LOGITS[:4, 0]
    plain = Binary().loss(output, Cells({"target": target.values["target"]}, target.present))
    torch.testing.assert_close(Binary(class_weights="balanced").loss(output, target), weight * plain)

    named = Multiclass(class_weights={"red": 3.0}).fit(["red", "blue", "red", "green"])
    target = all_there(named, ["red", "blue", "violet"])  # the last is unknown
    assert target.values["weight"].tolist() == [3.0, 1.0, 1.0]
    assert target.values["weight"].dtype == torch.float32


def test_a_rare_and_a_frequent_class_count_alike() -> None:
    """Balanced, the loss of all rows of a class is the same for every class when nothing is known."""
    cells = ["a"] * 9 + ["b"] * 3 + ["c"]
    codec = Multiclass(class_weights="balanced").fit(cells)
    loss = Multiclass(class_weights="balanced").loss(torch.zeros(13, 3), all_there(codec, cells))
    sums = [float(loss[:9].sum()), float(loss[9:12].sum()), float(loss[12])]
    assert sums == pytest.approx([13 / 3 * math.log(3)] * 3)


@pytest.mark.parametrize("columns", [None, ("new", "old")])
def test_each_of_several_labels_has_its_own_yes_and_no(columns: tuple[str, ...] | None) -> None:
    cells: list[Any] = ["new", "new|old", "new", []] if columns is None else [[1, 0], [1, 1], [1, 0], [0, 0]]
    task = Multilabel(columns=columns, class_weights="balanced")
    codec = task.fit(iter([*cells, {"no": "label"}]))
    target = all_there(codec, cells)
    new, old = [4 / 6, 4 / 6, 4 / 6, 4 / 2], [4 / 6, 4 / 2, 4 / 6, 4 / 6]
    weight = torch.tensor([new, old]).T
    torch.testing.assert_close(target.values["weight"], weight)
    plain = F.binary_cross_entropy_with_logits(LOGITS[:4, :2], target.values["target"], reduction="none")
    torch.testing.assert_close(task.loss(LOGITS[:4, :2], target), (weight * plain).mean(-1))

    named = Multilabel(columns=columns, class_weights={"old": 5}).fit(cells)
    assert all_there(named, cells).values["weight"].tolist() == [[1, 1], [1, 5], [1, 1], [1, 1]]


@pytest.mark.parametrize(
    "task",
    [
        Binary(class_weights="balanced", focal=2.0),
        Multiclass(class_weights="balanced", focal=2.0),
        Multilabel(class_weights="balanced", focal=0.5),
    ],
    ids=str,
)
def test_the_suite_of_tasks_passes(task: Binary | Multiclass | Multilabel) -> None:
    """Weights of rows without a label are filled with rubbish there, and every rule joins."""
    check_task(task, task_labels(task.kind))


@pytest.mark.parametrize("rule", ["mean", "product", "uncertainty", "evidential", "stacking"])
@pytest.mark.parametrize("kind", [Binary, Multiclass, Multilabel])
def test_every_rule_respects_the_weights(rule: str, kind: type[Binary] | type[Multiclass] | type[Multilabel]) -> None:
    """A rule's loss is the task's or its own: a label of weight 3 counts three times what it would."""
    cells = list(task_labels(kind.word()))
    name = {"binary": "yes", "multiclass": "red", "multilabel": "red"}[kind.word()]
    plain, weighed = kind(), kind(class_weights={name: 3.0})
    before, after = all_there(plain.fit(cells), cells), all_there(weighed.fit(cells), cells)
    codec = plain.fit(cells)
    output = torch.randn(len(cells), *plain.output_shape(codec), generator=torch.Generator().manual_seed(1))
    one, other = (task.rule(rule, codec, streams=["a", "b"], width=3) for task in (plain, weighed))
    output = one.stated(output)
    expected = one.loss(output, before)
    found = other.loss(output, after)
    if kind is not Multilabel:
        torch.testing.assert_close(found, after.values["weight"] * expected)
    else:
        has = before.values["target"][:, codec.labels.index("red")] > 0.5
        torch.testing.assert_close(found[~has], expected[~has])
        assert bool((found[has] > expected[has]).all())


# --- as the user writes them


def test_specs_as_written_and_as_kept() -> None:
    experiment = {"data": {"train": "t.csv"}, "inputs": {"x": "number"}}
    for written, kept in ({True: 3, 2: 1.5}, {"true": 3.0, "2": 1.5}), ("balanced", "balanced"), (None, None):
        spec = load({**experiment, "tasks": {"y": {"kind": "binary", "class_weights": written}}}).tasks["y"]
        assert isinstance(spec, Binary)
        assert spec.class_weights == kept
        assert Binary.model_validate(json.loads(spec.model_dump_json())) == spec
    for wrong in ({"class_weights": "even"}, {"class_weights": {"a": 0}}, {"focal": -1}, {"smoothing": 1}):
        with pytest.raises(SpecError):
            load({**experiment, "tasks": {"y": {"kind": "multiclass", **wrong}}})
