"""What every rule of a task has to do: join the decisions of several streams. B rows, two streams.

Every row is labelled; stream "b" is absent from row 0, and both are absent from the last row, of which nothing is asked
but that the answer is finite.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from motet.core.flow import Cells
from motet.tasks.row import RowTask
from motet.tasks.rules import Opinion, Rule
from motet.testing import suite

WIDTH = 5
STREAMS = ("a", "b")


@dataclass(frozen=True)
class RuleCase:
    """A Spec, some labels it can be fitted to, and the name of one of its rules."""

    spec: RowTask
    labels: Sequence[object]
    name: str

    def build(self, seed: int = 0, streams: Sequence[str] = STREAMS) -> Rule:
        """The rule, seeded, in evaluation mode; it knows the prior."""
        codec = self.spec.fit(list(self.labels))
        rule: Rule = suite.seeded(lambda: self.spec.rule(self.name, codec, streams=streams, width=WIDTH), seed)
        rule.start_from(codec.prior(self.target().values["target"]))
        return rule

    def target(self) -> Cells:
        """All labels, present."""
        codec = self.spec.fit(list(self.labels))
        values = codec.batch([codec.read(label) for label in self.labels])
        return Cells(values, torch.ones(len(self.labels), dtype=torch.bool))

    def raw(self, stream: str) -> Tensor:
        """What the stream's head says."""
        codec = self.spec.fit(list(self.labels))
        shape = (len(self.labels), *self.spec.output_shape(codec))
        return torch.randn(shape, generator=torch.Generator().manual_seed(STREAMS.index(stream)))

    def opinions(self, rule: Rule, raws: Mapping[str, Tensor] | None = None) -> dict[str, Opinion]:
        """Both streams' opinions, with equal shares over those present."""
        present = {stream: torch.ones(len(self.labels), dtype=torch.bool) for stream in STREAMS}
        present["b"][0] = present["a"][-1] = present["b"][-1] = False
        num_present = torch.stack(list(present.values())).sum(dim=0)
        generator = torch.Generator().manual_seed(9)
        opinions = {}
        for stream in STREAMS:
            features = torch.randn(len(self.labels), WIDTH, generator=generator)
            weight = torch.where(num_present > 0, present[stream] / num_present.clamp(min=1), 1 / len(STREAMS))
            raw = self.raw(stream) if raws is None else raws[stream]
            opinions[stream] = Opinion(rule.stated(raw), features, present[stream], weight)
        return opinions


def check_rule(spec: RowTask, labels: Sequence[object], name: str) -> None:
    """Run every check on this rule of the task; `AssertionError` names what fails.

    >>> from motet.tasks import Regression
    >>> check_rule(Regression(), [1, 2.5, "4", -3], "mean")
    """
    suite.run(CHECKS, RuleCase(spec, labels, name), name=f"rule {name} of {spec.kind}")


def joined_is_an_output(case: RuleCase) -> None:
    """What comes out has the form of a head's output, is finite in every row, and can be decoded."""
    rule, codec = case.build(), case.spec.fit(list(case.labels))
    joint = rule(case.opinions(rule))
    assert joint.shape == case.raw("a").shape, f"joined outputs are {tuple(joint.shape)}"
    assert bool(joint.isfinite().all()), "a joined output is not finite"
    assert len(codec.decode(joint)[""]) == len(case.labels), "joined outputs can not be decoded"


def one_stream_says_what_it_says(case: RuleCase) -> None:
    """Where a stream is alone, because the others are absent or because there is no other, the answer is its own."""
    rule, codec = case.build(), case.spec.fit(list(case.labels))
    opinions = case.opinions(rule)
    alone = replace(opinions["a"], weight=torch.ones(len(case.labels)))
    own = codec.decode(alone.output[:-1])
    for joint in (rule(opinions)[:1], case.build(streams=["a"])({"a": alone})[:-1]):
        for name, column in codec.decode(joint).items():
            rows = zip(column, own[name], strict=False)
            assert all(_alike(found, said) for found, said in rows), f"a stream alone is answered otherwise: {name!r}"


def extreme_statements_join_to_finite_ones(case: RuleCase) -> None:
    """However sure streams are of opposite things, the joint output, its loss and the terms are finite."""
    rule, target = case.build(), case.target()
    away = torch.where(torch.arange(case.raw("a").numel()) % 2 == 0, 1e4, -1e4).reshape(case.raw("a").shape)
    opinions = case.opinions(rule, {"a": away, "b": -away})
    joint = rule(opinions)
    parts = [joint, rule.loss(joint, target), *(term.sum for term in rule.terms(opinions, target).values())]
    parts[:2] = [part[:-1] for part in parts[:2]]
    assert all(bool(part.isfinite().all()) for part in parts), "a joined output, its loss or a term is not finite"


def absent_streams_do_not_count(case: RuleCase) -> None:
    """NaN in what an absent stream says, or in its features, changes no bit of the answer or of any gradient.

    Gradients are those of what is said, of the features, and of the rule's own parameters.
    """
    rule = case.build()
    clean = _joint_and_gradients(case, rule, case.opinions(rule))
    opinions = {stream: _spoilt(opinion) for stream, opinion in case.opinions(rule).items()}
    for found, expected in zip(_joint_and_gradients(case, rule, opinions), clean, strict=True):
        suite.assert_same_bits(found, expected, "with NaN in an absent stream")


def the_order_of_streams_does_not_matter(case: RuleCase) -> None:
    """Streams named in another order change no bit."""
    rule = case.build()
    opinions = case.opinions(rule)
    turned = rule(dict(reversed(opinions.items())))
    suite.assert_same_bits(turned[:-1], rule(opinions)[:-1], "the decision of streams in another order")


def rows_are_alone(case: RuleCase) -> None:
    """A row is joined the same without the others."""
    rule = case.build()
    opinions = case.opinions(rule)
    together = rule(opinions)
    for row in range(len(case.labels) - 1):
        index = slice(row, row + 1)
        alone = {
            stream: Opinion(one.output[index], one.features[index], one.present[index], one.weight[index])
            for stream, one in opinions.items()
        }
        suite.assert_close(rule(alone), together[row : row + 1], f"row {row} by itself")


def unlabelled_rows_cost_nothing(case: RuleCase) -> None:
    """Rows without a label have loss exactly 0 and add nothing to a term, whose count is never 0."""
    rule = case.build()
    opinions, target = case.opinions(rule), case.target()
    unlabelled = Cells(target.values, torch.zeros_like(target.present))
    assert bool((rule.loss(rule(opinions), unlabelled) == 0).all()), "a row without a label has a loss"
    for name, term in rule.terms(opinions, unlabelled).items():
        assert float(term.sum.detach()) == 0, f"{name} is not 0 where nothing is labelled"
        assert float(term.count) > 0, f"{name} is divided by 0 where nothing is labelled"


def terms_have_names_of_their_own(case: RuleCase) -> None:
    """No term is called what a stream could be: two underscores are what the name of an input can not have."""
    rule = case.build()
    for name in rule.terms(case.opinions(rule), case.target()):
        assert "__" in name, f"an input may be called {name!r} too"


def the_loss_leads_to_the_labels(case: RuleCase) -> None:
    """Led by the rule's loss, with finite gradients, the joint decision ends at half the task's loss or less."""
    rule, target = case.build(), case.target()
    raws = {stream: case.raw(stream).requires_grad_() for stream in STREAMS}
    some = Cells(target.values, torch.arange(len(case.labels)) < len(case.labels) - 1)
    optimizer = torch.optim.Adam(list(raws.values()), lr=0.1)
    losses = []
    for _ in range(200):
        joint = rule(case.opinions(rule, raws))
        loss = rule.loss(joint, some).sum()
        losses.append(float(case.spec.loss(joint.detach(), some).sum()))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        assert all(bool(raw.grad.isfinite().all()) for raw in raws.values() if raw.grad is not None), "not finite"
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0], f"the task's loss goes from {losses[0]:.3g} to {losses[-1]:.3g}"


def every_parameter_learns(case: RuleCase) -> None:
    """Every parameter of the rule gets a gradient from the joint loss and the rule's terms."""
    rule, target = case.build(), case.target()
    opinions = case.opinions(rule)
    if list(rule.parameters()):
        terms = [term.sum / term.count for term in rule.terms(opinions, target).values()]
        suite.assert_all_learn(rule, torch.stack([rule.loss(rule(opinions), target).sum(), *terms]).sum())
    suite.assert_none_hidden(rule)


def state_dict_is_all(case: RuleCase) -> None:
    """With the state of one, a rule built under another seed joins the same."""
    suite.assert_state_is_all(case.build(), case.build(seed=1), lambda rule: [rule(case.opinions(rule))[:-1]])


CHECKS: tuple[Callable[[RuleCase], None], ...] = (
    joined_is_an_output,
    one_stream_says_what_it_says,
    extreme_statements_join_to_finite_ones,
    absent_streams_do_not_count,
    the_order_of_streams_does_not_matter,
    rows_are_alone,
    unlabelled_rows_cost_nothing,
    terms_have_names_of_their_own,
    the_loss_leads_to_the_labels,
    every_parameter_learns,
    state_dict_is_all,
)


def _joint_and_gradients(case: RuleCase, rule: Rule, opinions: Mapping[str, Opinion]) -> list[Tensor]:
    """The joint output of the rows that have a stream, and the gradients of all it was made from."""
    outputs = [opinion.output.detach().requires_grad_() for opinion in opinions.values()]
    features = [opinion.features.detach().requires_grad_() for opinion in opinions.values()]
    heard = {
        stream: replace(opinion, output=output, features=own)
        for (stream, opinion), output, own in zip(opinions.items(), outputs, features, strict=True)
    }
    joint = rule(heard)[:-1]
    target = case.target()
    labelled = Cells(target.values, torch.arange(len(case.labels)) < len(case.labels) - 1)
    terms = [term.sum for term in rule.terms(heard, labelled).values()]
    total = torch.stack([suite.projected([joint]), *terms]).sum()
    made_from = [*outputs, *features, *rule.parameters()]
    return [joint, *torch.autograd.grad(total, made_from, allow_unused=True, materialize_grads=True)]


def _alike(found: object, said: object) -> bool:
    """The same answer; numbers, and lists of them, within 1e-5."""
    if isinstance(found, list) and isinstance(said, list):
        return len(found) == len(said) and all(map(_alike, found, said))
    if isinstance(found, float) and isinstance(said, float):
        return abs(found - said) <= suite.TOLERANCE * max(1.0, abs(said))
    return found == said


def _spoilt(opinion: Opinion) -> Opinion:
    present = opinion.present.reshape(-1, *[1] * (opinion.output.ndim - 1))
    output = torch.where(present, opinion.output, torch.nan)
    features = torch.where(opinion.present[:, None], opinion.features, torch.nan)
    return Opinion(output, features, opinion.present, opinion.weight)
