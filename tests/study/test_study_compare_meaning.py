"""Whether two runs were judged by the same labels, by what their targets stand for."""

from typing import Any

import numpy as np
import pytest
import torch
from compared import finished

from motet.study.compare.candidate import Read, task_differs
from motet.study.compare.meaning import Labels, cells, other_labels
from motet.study.compare.scores import drawn_rows, task_scores
from motet.tasks import Binary, Multiclass, Ordinal, Regression, Segmentation, Survival
from motet.tasks.base import Codec, TaskSpec

LABELS = np.array([3.0, 4.5, 1.0, 7.25, 2.0, 1000.0])


def target_of(codec: Codec, labels: Any) -> torch.Tensor:
    return codec.batch([codec.read(one) for one in labels])["target"]


def price(codec: Codec, labels: np.ndarray, **more: Any) -> Any:
    target = target_of(codec, labels).numpy()
    return finished({"price": np.zeros_like(target)}, {"price": target}, codecs={"price": codec}, **more)


def test_the_same_labels_in_units_of_the_runs_own_are_the_same() -> None:
    first, other = Regression().fit([0.0, 10.0]), Regression().fit([500.0, 1.0, 3.0])
    assert not torch.allclose(target_of(first, LABELS), target_of(other, LABELS))
    assert task_differs(price(first, LABELS), price(other, LABELS), "price") is None


@pytest.mark.parametrize("change", [1.0, 0.01, -500.0])
def test_a_task_that_reads_another_column_is_declined_and_said_so(change: float) -> None:
    codec = Regression().fit(LABELS)
    other = LABELS + change * np.array([0, 0, 1, 0, 0, 0])
    first = price(codec, LABELS, name="one")
    found = task_differs(first, price(codec, other, columns={"price": ("cost",)}), "price")
    assert found is not None
    assert "price has other labels than in one" in found
    assert "reads cost, not price" in found


def test_large_numbers_that_differ_little_are_told_apart() -> None:
    labels = 1.7e9 + 100 * LABELS[:5]
    codec = Regression().fit(labels)
    assert task_differs(price(codec, labels), price(codec, labels + 1), "price") is not None
    assert task_differs(price(codec, labels), price(Regression().fit(labels[:3]), labels), "price") is None


def test_what_is_judged_by_other_labels_is_not_scored() -> None:
    codec = Regression().fit(LABELS)
    runs = {"a": LABELS, "b": LABELS, "c": LABELS[::-1].copy()}
    read = Read({name: {0: (price(codec, labels, name=name),)} for name, labels in runs.items()})
    found = task_scores(read, "price", candidates=list(runs), seeds=[0], drawn=drawn_rows(6, None, seed=0, resamples=5))
    assert found is not None
    assert np.isfinite(found.values[:, 0]).tolist() == [True, True, False]
    assert len(read.declined) == 1
    assert read.declined[0].startswith("c: price has other labels")


def said(specs: tuple[TaskSpec, TaskSpec], codecs: tuple[Codec, Codec], labels: tuple[Any, Any], metric: str) -> Any:
    own = [Labels(spec, codec, ("y",)) for spec, codec in zip(specs, codecs, strict=True)]
    targets = tuple(target_of(codec, given) for codec, given in zip(codecs, labels, strict=True))
    return other_labels(own[0], own[1], targets, metric=metric)  # type: ignore[arg-type]


def test_classes_are_compared_by_name_and_one_that_no_training_row_had_is_like_any() -> None:
    spec, few, many = Multiclass(), Multiclass().fit(["b", "c", "b"]), Multiclass().fit(["a", "b", "c", "a"])
    same = ["b", "c", "a"]
    assert said((spec, spec), (few, many), (same, same), "accuracy") is None
    assert "'a' where that run has 'c'" in said((spec, spec), (few, many), (same, ["b", "a", "a"]), "accuracy")


@pytest.mark.parametrize(("metric", "same"), [("auroc", True), ("accuracy", True), ("f1", False)])
def test_which_label_is_positive_counts_where_the_metric_asks(metric: str, same: bool) -> None:
    specs = Binary(positive="yes"), Binary(positive="no")
    codecs = specs[0].fit(["no", "yes"]), specs[1].fit(["no", "yes"])
    labels = ["no", "yes", "yes"]
    found = said(specs, codecs, (labels, labels), metric)
    assert found is None if same else "f1 of 'no' as the positive label, not of 'yes'" in found
    assert said(specs, codecs, (labels, ["no", "no", "yes"]), "accuracy") is not None


def test_levels_in_another_order_are_others() -> None:
    spec, names = Ordinal(), ("low", "mid", "high")
    codecs = Ordinal(levels=names).fit(names), Ordinal(levels=names[::-1]).fit(names)
    labels = ["low", "high", "mid"]
    assert "levels" in said((spec, spec), codecs, (labels, labels), "quadratic_kappa")
    assert said((spec, spec), codecs, (labels, labels), "accuracy") is None


def test_targets_that_hold_the_cells_themselves_are_compared_as_they_are() -> None:
    spec = Survival(event="dead")
    codec = spec.fit([(3.0, 1), (2.0, 0), (5.0, 1)])
    rows = [(3.0, 1), (2.0, 0)]
    assert said((spec, spec), (codec, codec), (rows, rows), "concordance") is None
    assert said((spec, spec), (codec, codec), (rows, [(3.0, 0), (2.0, 0)]), "concordance") is not None
    assert cells(spec, codec, target_of(codec, rows)) == [[3.0, 1.0], [2.0, 0.0]]


def test_tasks_about_parts_of_a_row_are_told_by_their_columns() -> None:
    spec: Any = Segmentation(classes=("sky", "sea"))
    codec: Any = None  # is not looked at: the size of a picture may differ
    same, other = Labels(spec, codec, ("mask",)), Labels(spec, codec, ("other",))
    targets = torch.zeros(1, 2, 2), torch.zeros(1, 4, 4)
    assert other_labels(same, same, targets, metric="miou") is None
    assert other_labels(same, other, targets, metric="miou") == "read from other, not from mask"
