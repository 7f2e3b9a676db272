"""What tasks of either sort have to do: losses of labelled rows alone, metrics, answers. N rows."""

import math

import torch
from torch import Tensor

from motet.core.flow import Cells
from motet.tasks.base import Codec, TaskSpec
from motet.testing import suite


def unlabelled_rows_cost_nothing(spec: TaskSpec, output: Tensor, target: Cells) -> None:
    """Every other row is robbed of its label and filled with rubbish: the rest is as if these rows were not there."""
    present = torch.arange(len(output)) % 2 == 0
    if spec.whole_batch:
        rows = present.nonzero().squeeze(1)
        whole = torch.zeros(len(output)).index_copy(0, rows, spec.loss(output[rows], target.rows(rows)))
    else:
        whole = spec.loss(output, target)
    for filler in (float("nan"), float("inf"), -7.0):
        held = {name: _filled(value, ~present, filler) for name, value in target.values.items()}
        given = _filled(output, ~present, filler).requires_grad_()
        loss = spec.loss(given, Cells(held, present))
        compare = suite.assert_close if spec.whole_batch else suite.assert_same_bits
        compare(loss[present], whole[present], f"labelled rows beside rows filled with {filler}")
        assert bool((loss[~present] == 0).all()), f"an unlabelled row filled with {filler} has a loss"
        (gradient,) = torch.autograd.grad(loss.sum(), given)
        assert bool((gradient[~present] == 0).all()), f"an unlabelled row filled with {filler} has a gradient"


def certain_outputs_are_perfect(spec: TaskSpec, codec: Codec, target: Tensor) -> None:
    """`certain` scores the best there is in every metric that exists, and is decoded to the labels."""
    output = codec.certain(target)
    for metric in codec.metrics():
        score = metric.compute(output, target)
        assert math.isnan(score) or abs(score - metric.best) < 1e-6, f"{metric.name} of certain outputs is {score:.4f}"
    if spec.answers_are_labels:
        again = codec.batch([codec.read(answer) for answer in codec.decode(output)[""]])["target"]
        suite.assert_close(again.double(), target.double(), "labels read from the answers of certain outputs")


def the_trivial_answer_can_be_scored(codec: Codec, target: Tensor) -> None:
    """`prior` is finite, `trivial` has a row for each target, and every metric gives a plain number."""
    prior = codec.prior(target)
    assert bool(prior.isfinite().all()), "the prior is not finite"
    output = codec.trivial(prior, target)
    assert len(output) == len(target), f"{len(output)} trivial outputs for {len(target)} rows"
    for metric in codec.metrics():
        assert isinstance(metric.compute(output, target), float), f"{metric.name} is no plain number"


def drawn_rows_score_as_such(codec: Codec, output: Tensor, target: Tensor) -> None:
    """A metric's `of_rows` is what it computes of these rows, repeated ones included; of groups, of all rows, as where
    each is looked for among all.
    """
    for metric in codec.metrics():
        rows = torch.arange(len(target))
        rows = rows if metric.by_group or metric.among is not None else rows.repeat(2)[len(target) // 2 :]
        found, expected = metric.of_rows(output, target)(rows), metric.compute(output[rows], target[rows])
        same = math.isnan(found) and math.isnan(expected)
        assert same or abs(found - expected) < 1e-6, f"{metric.name} of drawn rows is {found}, not {expected}"


def _filled(value: Tensor, rows: Tensor, filler: float) -> Tensor:
    """The tensor with the rows overwritten; whole numbers, which have no NaN, get -7."""
    filled = value.clone()
    filled[rows] = filler if value.is_floating_point() else -7
    return filled
