"""What every task that decides about rows has to do: labels, head, loss, answers, metrics. B rows."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from motet.core.errors import CellError, SpecError
from motet.core.flow import Cells
from motet.tasks.base import TaskSpec
from motet.tasks.part import PartTask
from motet.tasks.row import Head, RowCodec, RowTask
from motet.testing import suite
from motet.testing import task_common as common
from motet.testing.examples import PartInputs
from motet.testing.part import check_part_task
from motet.testing.rule import check_rule

WIDTH = 5
NO_LABEL = {"no": "label"}


@dataclass(frozen=True)
class Case:
    """A Spec and some labels it can be fitted to, not all alike."""

    spec: RowTask
    labels: Sequence[object]

    def fit(self) -> RowCodec:
        """The codec fitted to the labels."""
        return self.spec.fit(list(self.labels))

    def build(self, seed: int = 0) -> Head:
        """A head, seeded, in evaluation mode."""
        codec = self.fit()
        head: Head = suite.seeded(lambda: self.spec.build(codec, WIDTH), seed)
        return head

    def target(self) -> Cells:
        """All labels, present."""
        codec = self.fit()
        values = codec.batch([codec.read(label) for label in self.labels])
        return Cells(values, torch.ones(len(self.labels), dtype=torch.bool))

    def features(self) -> Tensor:
        """Features for as many rows as there are labels."""
        return torch.randn(len(self.labels), WIDTH, generator=torch.Generator().manual_seed(0))


def check_task(spec: TaskSpec, labels: Sequence[object], inputs: PartInputs | None = None) -> None:
    """Run every check of the room on this Spec with these labels; `AssertionError` names what fails.

    A task that reads parts of inputs is run on `inputs`, by name the kind of each and a cell for each label; left out,
    on the examples of its kind.

    >>> from motet.tasks import Regression
    >>> check_task(Regression(), [1, 2.5, "4", -3])
    """
    if isinstance(spec, PartTask):
        check_part_task(spec, labels, inputs)
        return
    assert isinstance(spec, RowTask), "a task is a RowTask or a PartTask"
    suite.run(CHECKS, Case(spec, labels), name=f"task {spec.kind}")


def spec_survives_json(case: Case) -> None:
    """The Spec written as JSON and read back is the same Spec."""
    suite.spec_survives_json(case.spec)


def codec_survives_json(case: Case) -> None:
    """The codec, through JSON and `restore`, reads and answers the same, calibrated or not."""
    output, target = case.build()(case.features()), case.target().values["target"]
    for codec in (case.fit(), case.fit().calibrated(output, target)):
        restored = case.spec.restore(json.loads(codec.model_dump_json()))
        again = restored.batch([restored.read(label) for label in case.labels])["target"]
        suite.assert_same_bits(again, target, "labels read by a restored codec")
        assert restored.decode(output) == codec.decode(output), "a restored codec answers differently"


def the_resolved_spec_fits_to_the_same(case: Case) -> None:
    """`resolved` leaves no "auto", and fits to the same codec."""
    resolved = case.spec.resolved(case.fit())
    left = [name for name, value in resolved if value == "auto"]
    assert not left, f"still auto: {', '.join(left)}"
    assert resolved.fit(list(case.labels)) == case.fit(), "the resolved Spec fits to something else"


def bad_labels_are_refused_and_passed_over(case: Case) -> None:
    """`read` raises `CellError` for a label of another world; `fit` does as if it were not there."""
    codec = case.fit()
    try:
        codec.read(NO_LABEL)
    except CellError:
        pass
    else:
        raise AssertionError("read took a bare mapping for a label")
    assert case.spec.fit([NO_LABEL, *case.labels]) == codec, "fit was changed by a label that read refuses"


def unlabelled_rows_cost_nothing(case: Case) -> None:
    """Where there is no label, loss and gradient are exactly 0, whatever target and output hold; elsewhere the same."""
    output, target = case.build()(case.features()).detach(), case.target()
    common.unlabelled_rows_cost_nothing(case.spec, output, target)


def rows_are_alone(case: Case) -> None:
    """Output and loss of a row are the same without the others; a loss over whole batches may not be."""
    head, target, features = case.build(), case.target(), case.features()
    output = head(features)
    loss = case.spec.loss(output, target)
    for row in range(len(case.labels)):
        one = slice(row, row + 1)
        alone = head(features[one])
        cells = Cells({name: value[one] for name, value in target.values.items()}, target.present[one])
        suite.assert_close(alone, output[one], f"the output of row {row} by itself")
        if not case.spec.whole_batch:
            suite.assert_close(case.spec.loss(alone, cells), loss[one], f"the loss of row {row} by itself")


def every_parameter_learns(case: Case) -> None:
    """Every parameter of the head gets a gradient from the loss."""
    head = case.build()
    suite.assert_all_learn(head, case.spec.loss(head(case.features()), case.target()).sum())


def nothing_learns_unseen(case: Case) -> None:
    """Every tensor that learns is in `parameters()`."""
    suite.assert_none_hidden(case.build())


def the_loss_leads_to_the_labels(case: Case) -> None:
    """Outputs that follow the gradient of the loss end where the answers are the labels, or all but perfect."""
    codec, target = case.fit(), case.target()
    output = case.build()(case.features()).detach().requires_grad_()
    optimizer = torch.optim.Adam([output], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        case.spec.loss(output, target).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    metric = codec.metrics()[0]
    score = metric.compute(output.detach(), target.values["target"])
    assert abs(score - metric.best) < 0.1, f"outputs led by the loss end at {metric.name} {score:.3f}"
    if case.spec.answers_are_labels:
        answers = codec.batch([codec.read(answer) for answer in codec.decode(output)[""]])["target"]
        worst = float((answers.double() - target.values["target"].double()).abs().max())
        assert worst < 0.2, f"an answer is {worst:.2g} away from its label, as targets"


def answers_are_plain_and_one_per_row(case: Case) -> None:
    """`decode` gives columns of N answers that JSON can hold; "" is among them."""
    output = case.build()(case.features())
    for num_rows in (len(case.labels), 1):
        columns = case.fit().decode(output[:num_rows])
        assert "" in columns, f"no answer among the columns {tuple(columns)}"
        for name, column in columns.items():
            assert len(column) == num_rows, f"{len(column)} answers in {name!r} for {num_rows} rows"
            json.dumps(column, allow_nan=False)


def an_untrained_head_answers_the_prior(case: Case) -> None:
    """After `start_from(prior)` a row of zeros gets the prior as output, and the prior is finite."""
    head, prior = case.build(), case.fit().prior(case.target().values["target"])
    assert bool(prior.isfinite().all()), "the prior is not finite"
    head.start_from(prior)
    suite.assert_close(head(torch.zeros(1, WIDTH))[0], prior, "the output for a row of zeros")


def metrics_are_as_declared(case: Case) -> None:
    """The codec computes the metrics the Spec names, in that order; each is a plain number."""
    metrics = case.fit().metrics()
    names = tuple(metric.name for metric in metrics)
    assert names == case.spec.metric_names, f"declared {case.spec.metric_names}, computed {names}"
    output = case.build()(case.features()).detach()
    for metric in metrics:
        value = metric.compute(output, case.target().values["target"])
        assert isinstance(value, float), f"{metric.name} is a {type(value).__name__}"


def certain_outputs_are_perfect(case: Case) -> None:
    """`certain` scores the best there is in every metric that exists, and is decoded to the labels."""
    common.certain_outputs_are_perfect(case.spec, case.fit(), case.target().values["target"])


def the_trivial_answer_knows_no_input(case: Case) -> None:
    """`trivial` gives as many outputs as there are rows, and they can be scored."""
    common.the_trivial_answer_can_be_scored(case.fit(), case.target().values["target"])


def drawn_rows_score_as_such(case: Case) -> None:
    """A metric's `of_rows` is what it computes of these rows."""
    output = case.build()(case.features()).detach()
    common.drawn_rows_score_as_such(case.fit(), output, case.target().values["target"])


def rules_join(case: Case) -> None:
    """Every rule of the kind passes the suite of `motet.testing.rule`."""
    rules = case.spec.rules_for(case.fit())
    assert "mean" in rules, "every kind of task can take the mean of decisions"
    for name in rules:
        check_rule(case.spec, case.labels, name)


def unknown_rules_are_refused(case: Case) -> None:
    """`rule` raises `SpecError` for a rule that does not exist."""
    try:
        case.spec.rule("no such rule", case.fit(), streams=["a"], width=WIDTH)
    except SpecError:
        return
    raise AssertionError("a rule that does not exist was taken")


def state_dict_is_all(case: Case) -> None:
    """With the state of one, a head built under another seed answers the same."""
    suite.assert_state_is_all(case.build(), case.build(seed=1), lambda head: [head(case.features())])


CHECKS: tuple[Callable[[Case], None], ...] = (
    spec_survives_json,
    codec_survives_json,
    the_resolved_spec_fits_to_the_same,
    bad_labels_are_refused_and_passed_over,
    unlabelled_rows_cost_nothing,
    rows_are_alone,
    every_parameter_learns,
    nothing_learns_unseen,
    the_loss_leads_to_the_labels,
    answers_are_plain_and_one_per_row,
    an_untrained_head_answers_the_prior,
    metrics_are_as_declared,
    certain_outputs_are_perfect,
    the_trivial_answer_knows_no_input,
    drawn_rows_score_as_such,
    rules_join,
    unknown_rules_are_refused,
    state_dict_is_all,
)
