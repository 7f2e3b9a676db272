"""What every task that reads parts of inputs has to do: labels, head, loss, answers, metrics. B rows."""

import copy
import json
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from motet.core.errors import CellError
from motet.core.flow import Cells, Tokens
from motet.tasks.part import PartTask, Reading
from motet.testing import suite
from motet.testing import task_common as common
from motet.testing.examples import PartInputs
from motet.testing.part_case import PartCase

NO_LABEL = {"no": "label"}
STEPS = 300
NEAR_ZERO = 0.1
"""Of the loss at the start: as much is left of it, at most, once the rows are memorised."""


def check_part_task(spec: PartTask, labels: Sequence[object], inputs: PartInputs | None = None) -> None:
    """Run every check on this Spec with these labels and inputs; left out, with the example inputs of its kind."""
    suite.run(CHECKS, PartCase(spec, labels, inputs), name=f"task {spec.kind}")


def spec_survives_json(case: PartCase) -> None:
    """The Spec written as JSON and read back is the same Spec."""
    suite.spec_survives_json(case.spec)


def codec_survives_json(case: PartCase) -> None:
    """The codec, through JSON and `restore`, reads and answers the same."""
    codec, target = case.fit(), case.target().values["target"]
    restored = case.spec.restore(json.loads(codec.model_dump_json()))
    again = restored.batch([restored.read(label) for label in case.labels])["target"]
    suite.assert_same_bits(again, target, "labels read by a restored codec")
    output = codec.certain(target)
    assert restored.decode(output) == codec.decode(output), "a restored codec answers differently"


def the_resolved_spec_fits_to_the_same(case: PartCase) -> None:
    """`reading` and `resolved` leave no "auto" and no input unnamed, and fit to the same codec."""
    resolved = case.spec.resolved(case.fit())
    left = [name for name, value in resolved if value == "auto"]
    assert not left, f"still auto: {', '.join(left)}"
    kinds = {name: kind for name, (kind, _) in case.inputs.items()}
    assert case.spec.reading(kinds) == case.spec, "the inputs it reads are not written out"
    assert resolved.fit(list(case.labels), case.readers) == case.fit(), "the resolved Spec fits to something else"


def bad_labels_are_refused_and_passed_over(case: PartCase) -> None:
    """`read` raises `CellError` for a label of another world; `fit` does as if it were not there."""
    codec = case.fit()
    try:
        codec.read(NO_LABEL)
    except CellError:
        pass
    else:
        raise AssertionError("read took a bare mapping for a label")
    assert case.fit([NO_LABEL, *case.labels]) == codec, "fit was changed by a label that read refuses"


def unlabelled_rows_cost_nothing(case: PartCase) -> None:
    """Where there is no label, loss and gradient are exactly 0, whatever target and output hold; elsewhere the same."""
    target = case.target()
    common.unlabelled_rows_cost_nothing(case.spec, case.build()(case.reading(), target).detach(), target)


def rows_are_alone(case: PartCase) -> None:
    """What the loss takes, the loss and the answer of a row are the same without the others."""
    head, target, reading = case.build(), case.target(), case.reading()
    raw, answers = head(reading, target), head.answer(reading)
    losses = case.spec.loss(raw, target)
    for row in range(len(case.labels)):
        one = torch.tensor([row])
        alone = head(reading.rows(one), target.rows(one))
        _assert_alike(alone[0], raw[row], f"what the loss takes of row {row} by itself")
        _assert_alike(head.answer(reading.rows(one))[0], answers[row], f"the answer of row {row} by itself")
        if not case.spec.whole_batch:
            loss = case.spec.loss(alone, target.rows(one))
            suite.assert_close(loss, losses[one], f"the loss of row {row} by itself")


def padding_changes_nothing(case: PartCase) -> None:
    """More hidden tokens behind each input change neither the loss nor the answers."""
    head, target, reading = case.build(), case.target(), case.reading()
    longer = Reading(reading.features, {name: _padded(one) for name, one in reading.tokens.items()})
    losses = case.spec.loss(head(reading, target), target)
    suite.assert_close(case.spec.loss(head(longer, target), target), losses, "the losses with more padding")
    for row, (found, expected) in enumerate(zip(head.answer(longer), head.answer(reading), strict=True)):
        _assert_alike(found, expected, f"the answer of row {row} with more padding")


def every_parameter_learns(case: PartCase) -> None:
    """Every parameter of the head gets a gradient from the loss."""
    head, target = case.build(), case.target()
    suite.assert_all_learn(head, case.spec.loss(head(case.reading(), target), target).sum())


def nothing_learns_unseen(case: PartCase) -> None:
    """Every tensor that learns is in `parameters()`."""
    suite.assert_none_hidden(case.build())


def rows_are_memorised(case: PartCase) -> None:
    """Trained on all rows together with the encoders' tokens, the loss falls to near zero and the answers are right."""
    codec, target, head = case.fit(), case.target(), case.build().train()
    encoders = torch.nn.ModuleDict({str(i): copy.deepcopy(one) for i, one in enumerate(case.encoders.values())})
    inputs, features = case.inputs, case.reading().features.clone().requires_grad_()
    cells = {
        name: Cells(reader.batch([reader.read(cell) for cell in inputs[name][1]]), target.present)
        for name, reader in case.readers.items()
    }
    optimizer = torch.optim.Adam([*head.parameters(), *encoders.parameters(), features], lr=5e-3)
    first = 0.0
    for step in range(STEPS):
        tokens = {name: one(cells[name]) for name, one in zip(case.encoders, encoders.children(), strict=True)}
        loss = case.spec.loss(head(Reading(features, tokens), target), target).mean()
        first = first or loss.item()
        if step > 20 and loss.item() < 0.005 * first:
            break
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([*head.parameters(), *encoders.parameters()], 1.0)
        optimizer.step()
    assert loss.item() < NEAR_ZERO * first, f"the loss goes from {first:.3g} to {loss.item():.3g} only"
    metric = codec.metrics()[0]
    head.eval(), encoders.eval()
    with torch.no_grad():
        tokens = {name: one(cells[name]) for name, one in zip(case.encoders, encoders.children(), strict=True)}
        score = metric.compute(head.answer(Reading(features, tokens)), target.values["target"])
    labels = target.values["target"]
    nothing = metric.compute(codec.trivial(codec.prior(labels), labels), labels)
    gained = abs(score - metric.best) <= 0.2 * abs(nothing - metric.best) + 1e-6
    assert gained, f"rows that were memorised score {metric.name} {score:.3f}, without input {nothing:.3f}"


def rows_without_input_have_no_answer(case: PartCase) -> None:
    """A row that lacks what it needs is answered by nothing, the others as ever; nothing breaks with none at all."""
    head, codec = case.build(), case.fit()
    whole, some = head.answer(case.reading()), head.answer(case.reading(absent=[0]))
    if case.spec.needs_all and not case.spec.whole_batch:
        assert codec.decode(some)[""][0] is None, "a row without input has an answer"
    for row in range(1, len(case.labels)):
        _assert_alike(some[row], whole[row], f"the answer of row {row} beside one without input")
    nobody = head.answer(case.reading(absent=range(len(case.labels))))
    assert len(codec.decode(nobody)[""]) == len(case.labels)


def answers_are_one_per_row(case: PartCase) -> None:
    """`decode` gives columns of N answers; "" is among them. JSON can hold them, but for bytes (a picture, a sound)."""
    output = case.build().answer(case.reading())
    for num_rows in (len(case.labels), 1):
        columns = case.fit().decode(output[:num_rows])
        assert "" in columns, f"no answer among the columns {tuple(columns)}"
        for name, column in columns.items():
            assert len(column) == num_rows, f"{len(column)} answers in {name!r} for {num_rows} rows"
            json.dumps([None if isinstance(one, bytes) else one for one in column], allow_nan=False)


def metrics_are_as_declared(case: PartCase) -> None:
    """The codec computes the metrics the Spec names, in that order; each is a plain number."""
    metrics = case.fit().metrics()
    names = tuple(metric.name for metric in metrics)
    assert names == case.spec.metric_names, f"declared {case.spec.metric_names}, computed {names}"
    output = case.build().answer(case.reading())
    for metric in metrics:
        value = metric.compute(output, case.target().values["target"])
        assert isinstance(value, float), f"{metric.name} is a {type(value).__name__}"


def certain_outputs_are_perfect(case: PartCase) -> None:
    """`certain` scores the best there is in every metric that exists, and is decoded to the labels."""
    common.certain_outputs_are_perfect(case.spec, case.fit(), case.target().values["target"])


def the_trivial_answer_knows_no_input(case: PartCase) -> None:
    """`trivial` gives as many outputs as there are rows, and they can be scored; a head starts from the prior."""
    codec, target = case.fit(), case.target().values["target"]
    common.the_trivial_answer_can_be_scored(codec, target)
    case.build().start_from(codec.prior(target))


def drawn_rows_score_as_such(case: PartCase) -> None:
    """A metric's `of_rows` is what it computes of these rows."""
    output = case.build().answer(case.reading())
    common.drawn_rows_score_as_such(case.fit(), output, case.target().values["target"])


def state_dict_is_all(case: PartCase) -> None:
    """With the state of one, a head built under another seed answers the same."""
    reading, target = case.reading(), case.target()
    suite.assert_state_is_all(case.build(), case.build(seed=1), lambda head: [head(reading, target)])


CHECKS: tuple[Callable[[PartCase], None], ...] = (
    spec_survives_json,
    codec_survives_json,
    the_resolved_spec_fits_to_the_same,
    bad_labels_are_refused_and_passed_over,
    unlabelled_rows_cost_nothing,
    rows_are_alone,
    padding_changes_nothing,
    every_parameter_learns,
    nothing_learns_unseen,
    rows_are_memorised,
    rows_without_input_have_no_answer,
    answers_are_one_per_row,
    metrics_are_as_declared,
    certain_outputs_are_perfect,
    the_trivial_answer_knows_no_input,
    drawn_rows_score_as_such,
    state_dict_is_all,
)


def _assert_alike(found: Tensor, expected: Tensor, what: str) -> None:
    """Equal where both have a place; what one has beyond the other is padding: -1, or 0."""
    sizes = [min(sizes) for sizes in zip(found.shape, expected.shape, strict=True)]
    inside = tuple(slice(size) for size in sizes)
    suite.assert_close(found[inside].double(), expected[inside].double(), what)
    for one in (found, expected):
        rest = torch.ones(one.shape, dtype=torch.bool)
        rest[inside] = False
        beyond = one[rest]
        empty = (beyond == 0) if one.is_floating_point() else (beyond == -1)
        assert bool(empty.all()), f"{what}: something stands behind its end"


def _padded(tokens: Tokens) -> Tokens:
    """With three more tokens that are hidden, full of rubbish; a map's cells are not to be padded."""
    if tokens.maps:
        return tokens
    num_rows, _, width = tokens.values.shape
    rubbish = torch.full((num_rows, 3, width), 7.0)
    nothing = torch.zeros(num_rows, 3, dtype=torch.bool)
    word = None if tokens.word is None else torch.cat([tokens.word, torch.full((num_rows, 3), -1)], dim=1)
    values, mask = torch.cat([tokens.values, rubbish], dim=1), torch.cat([tokens.mask, nothing], dim=1)
    return Tokens(values, mask, tokens.present, word)
