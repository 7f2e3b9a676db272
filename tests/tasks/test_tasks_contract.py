"""What every kind of task promises, run over one table of kinds."""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from motet.core.errors import SpecError
from motet.core.flow import Cells
from motet.tasks import AnyTask, Binary, Count, Multiclass, Multilabel, Ordinal, Regression, TaskSpec


@dataclass(frozen=True)
class Kind:
    spec: TaskSpec
    cells: tuple[Any, ...]


KINDS = {
    "binary": Kind(Binary(), ("no", "yes", "no", "yes", "no")),
    "multiclass": Kind(Multiclass(), (3, 1, 2, 1, 3)),
    "multilabel": Kind(Multilabel(), ("a|b", [], "c", ["b", "c"], "a")),
    "columns": Kind(Multilabel(columns=("x", "y")), ([0, 1], [1, 0], [1, 1], [0, 0], [0, 1])),
    "regression": Kind(Regression(), (1.5, "2", 7, -3.25, 0)),
    "huber": Kind(Regression(error="huber"), (1.5, "2", 7, -3.25, 0)),
    "absolute": Kind(Regression(error="absolute"), (1.5, "2", 7, -3.25, 0)),
    "quantile": Kind(Regression(error="quantile"), (1.5, "2", 7, -3.25, 0)),
    "gaussian": Kind(Regression(error="gaussian"), (1.5, "2", 7, -3.25, 0)),
    "several": Kind(Regression(columns=("x", "y")), ([1, 5.5], [4, "2"], [1, 1], [0, 9], [-8, 1])),
    "several quantile": Kind(Regression(error="quantile"), ([1, 5.5], [4, "2"], [1, 1], [0, 9], [-8, 1])),
    "several gaussian": Kind(Regression(error="gaussian"), ("1|5.5", "4|2", [1, 1], [0, 9], [-8, 1])),
    "ordinal": Kind(Ordinal(), (3, 1, 2, 1, 3)),
    "levels": Kind(Ordinal(levels=("low", "middle", "high")), ("low", "high", "low", "middle", "high")),
    "count": Kind(Count(), (0, "2", 7, 3.0, 0)),
    "dispersion": Kind(Count(dispersion=0.5), (0, "2", 7, 3.0, 0)),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def targets(kind: Kind) -> torch.Tensor:
    codec = kind.spec.fit(kind.cells)
    return codec.batch([codec.read(cell) for cell in kind.cells])["target"]


def outputs(kind: Kind, *, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    head = kind.spec.build(kind.spec.fit(kind.cells), 6)
    return head(torch.randn(5, 6) * 10).detach()


def test_a_codec_survives_json(kind: Kind) -> None:
    codec = kind.spec.fit(kind.cells)
    again = kind.spec.restore(json.loads(json.dumps(codec.model_dump(mode="json"))))
    assert again == codec
    assert repr(again) == repr(codec)  # == alone takes 1 for 1.0 and for True


def test_a_spec_survives_yaml_and_json(kind: Kind) -> None:
    resolved = kind.spec.resolved(kind.spec.fit(kind.cells))
    assert TypeAdapter(AnyTask).validate_python(json.loads(resolved.model_dump_json())) == resolved
    assert resolved.fit(kind.cells) == kind.spec.fit(kind.cells)


def test_metric_names_are_those_computed(kind: Kind) -> None:
    assert tuple(metric.name for metric in kind.spec.fit(kind.cells).metrics()) == kind.spec.metric_names
    assert kind.spec.primary == kind.spec.metric_names[0]
    chosen = kind.spec.model_copy(update={"metric": kind.spec.metric_names[1]})
    assert chosen.primary == kind.spec.metric_names[1]


def test_an_unknown_metric_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValidationError, match="binary has no metric 'auroK'; did you mean 'auroc'"):
        Binary(metric="auroK")


@pytest.mark.parametrize("spec", [Binary, Count, Multiclass, Ordinal])
def test_columns_are_for_several_labels_or_numbers(spec: type[TaskSpec]) -> None:
    with pytest.raises(ValidationError, match="takes one `column`"):
        spec(columns=("a", "b"))


def test_column_and_columns_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="not both"):
        Multilabel(column="a", columns=("b", "c"))


def test_loss_of_unlabelled_rows_is_exactly_zero_even_when_poisoned(kind: Kind) -> None:
    present = torch.tensor([True, False, True, False, True])
    clean = outputs(kind).requires_grad_()
    clean_loss = kind.spec.loss(clean, Cells({"target": targets(kind)}, present))
    clean_loss.sum().backward()

    for poison in (torch.nan, torch.inf, -torch.inf):
        dirty = outputs(kind)
        dirty[~present] = poison
        label = targets(kind)
        label[~present] = poison if label.is_floating_point() else -(10**9)
        dirty.requires_grad_()
        loss = kind.spec.loss(dirty, Cells({"target": label}, present))
        loss.sum().backward()
        assert loss.shape == (5,)
        assert torch.equal(loss, clean_loss)
        assert torch.equal(loss[~present], torch.zeros(2))
        assert dirty.grad is not None
        assert clean.grad is not None
        assert torch.equal(dirty.grad, clean.grad)
        assert not dirty.grad[~present].any()
    assert (clean.grad[present] != 0).any()


def test_loss_of_a_row_does_not_depend_on_the_others(kind: Kind) -> None:
    cells = Cells({"target": targets(kind)}, torch.ones(5, dtype=torch.bool))
    whole = kind.spec.loss(outputs(kind), cells)
    for row in range(5):
        alone = Cells({"target": targets(kind)[row : row + 1]}, torch.ones(1, dtype=torch.bool))
        torch.testing.assert_close(kind.spec.loss(outputs(kind)[row : row + 1], alone), whole[row : row + 1])


def test_the_loss_takes_half_precision(kind: Kind) -> None:
    cells = Cells({"target": targets(kind)}, torch.ones(5, dtype=torch.bool))
    assert kind.spec.loss(outputs(kind).bfloat16(), cells).dtype == torch.float32


def test_the_prior_is_the_constant_with_the_least_loss(kind: Kind) -> None:
    if isinstance(kind.spec, Regression) and kind.spec.error != "gaussian":
        kind = Kind(Regression(), kind.cells)  # the mean whatever the loss, so that baselines are alike; or quantiles
    codec = kind.spec.fit(kind.cells)
    label = targets(kind).repeat(200, *[1] * (targets(kind).ndim - 1))  # so that the half row of smoothing is small
    cells = Cells({"target": label}, torch.ones(len(label), dtype=torch.bool))
    prior = codec.prior(label).requires_grad_()
    kind.spec.loss(prior.expand(len(label), *prior.shape), cells).mean().backward()
    assert prior.grad is not None
    torch.testing.assert_close(prior.grad, torch.zeros_like(prior), atol=2e-3, rtol=0)


def test_an_untrained_head_answers_nearly_the_prior_and_passes_a_gradient(kind: Kind) -> None:
    codec = kind.spec.fit(kind.cells)
    head = kind.spec.build(codec, 64)
    prior = codec.prior(targets(kind))
    head.start_from(prior)
    features = torch.randn(100, 64, requires_grad=True)
    output = head(features)
    assert output.shape == (100, *prior.shape)
    assert (output - prior).std() < 0.2
    torch.testing.assert_close(head(torch.zeros(1, 64))[0], prior)
    output.sum().backward()
    assert features.grad is not None
    assert features.grad.any()


def test_an_unknown_rule_is_refused(kind: Kind) -> None:
    codec = kind.spec.fit(kind.cells)
    known = ", ".join(map(repr, sorted(kind.spec.rules_for(codec))))
    assert "'mean'" in known
    with pytest.raises(SpecError, match=f"can not join decisions by 'vote'; the rules it knows are {known}"):
        kind.spec.rule("vote", codec, streams=["a"], width=3)


def test_metrics_of_no_rows_and_of_broken_outputs_are_nan(kind: Kind) -> None:
    codec = kind.spec.fit(kind.cells)
    broken = outputs(kind)
    broken[0] = torch.nan
    for metric in codec.metrics():
        assert math.isnan(metric.compute(outputs(kind)[:0], targets(kind)[:0]))
        assert math.isnan(metric.compute(broken, targets(kind)))
        assert math.isfinite(metric.compute(outputs(kind), targets(kind)))


def test_metrics_of_one_row_do_not_crash(kind: Kind) -> None:
    for metric in kind.spec.fit(kind.cells).metrics():
        assert isinstance(metric.compute(outputs(kind)[:1], targets(kind)[:1]), float)


def test_labels_do_not_vary_by_chance(kind: Kind) -> None:
    codec = kind.spec.fit(kind.cells)
    item = codec.read(kind.cells[0])
    assert not codec.varies
    assert codec.augment(item, np.random.default_rng(0)) is item
