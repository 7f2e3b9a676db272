"""The mean of decisions, and what every rule of every task promises beside the suite."""

import math

import numpy as np
import pytest
import torch
from opinions import LABELS, NUM_ROWS, build, opinions, raw, target

from motet.tasks.rules import Opinion

EVERY = [(kind, name) for kind, (spec, _) in LABELS.items() for name in spec.rules]
EVERY_RULE = pytest.mark.parametrize(("kind", "name"), EVERY)
EVERY_KIND = pytest.mark.parametrize("kind", LABELS)


def test_every_kind_has_the_same_rules() -> None:
    for spec, _ in LABELS.values():
        assert tuple(spec.rules) == ("mean", "product", "uncertainty", "evidential", "stacking")


def test_the_mean_of_two_yes_or_no_by_hand() -> None:
    said = {"a": torch.tensor([math.log(3.0)]), "b": torch.tensor([-math.log(3.0)])}  # 0.75 and 0.25
    joint = build("binary", "mean")(opinions(said, weights={"a": [0.8], "b": [0.2]}))
    assert joint.sigmoid().item() == pytest.approx(0.65)


def test_the_mean_of_two_classes_by_hand() -> None:
    said = {"a": torch.tensor([[0.2, 0.5, 0.3]]).log() + 3, "b": torch.tensor([[0.6, 0.1, 0.3]]).log()}
    joint = build("multiclass", "mean")(opinions(said, weights={"a": [0.25], "b": [0.75]}))
    torch.testing.assert_close(joint.exp(), torch.tensor([[0.5, 0.2, 0.3]]))


def test_the_mean_of_two_numbers_by_hand() -> None:
    said = {"a": torch.tensor([1.0]), "b": torch.tensor([3.0])}
    joint = build("regression", "mean")(opinions(said, weights={"a": [0.25], "b": [0.75]}))
    assert joint.tolist() == [2.5]


@EVERY_KIND
def test_one_stream_comes_back_bit_for_bit(kind: str) -> None:
    output = raw(kind, seed=1)
    assert torch.equal(build(kind, "mean", ["joint"])(opinions({"joint": output})), output)


@EVERY_KIND
def test_a_stream_without_weight_does_not_count(kind: str) -> None:
    half = torch.tensor([1.0, 0.5, 0.25, 0.0, 1.0])
    present = {"b": (half < 1).tolist(), "a": (half > 0).tolist()}
    first, second = raw(kind, seed=1), raw(kind, seed=2)
    rule, weights = build(kind, "mean"), {"a": half.tolist(), "b": (1 - half).tolist()}
    joint = rule(opinions({"a": first, "b": second}, present=present, weights=weights))

    poisoned = second.clone()
    poisoned[half == 1] = torch.nan
    share, first = half.clone().requires_grad_(), first.requires_grad_()
    given = opinions({"a": first, "b": poisoned}, present=present, weights=weights)
    given["a"] = Opinion(first, given["a"].features, given["a"].present, share)
    again = rule(given)
    assert torch.equal(again, joint)
    again.square().sum().backward()
    assert share.grad is not None
    assert first.grad is not None
    assert share.grad.isfinite().all()
    assert first.grad.isfinite().all()


@pytest.mark.parametrize("name", ["mean", "uncertainty", "stacking"])
@EVERY_KIND
def test_joining_equal_decisions_changes_no_answer(kind: str, name: str) -> None:
    spec, labels = LABELS[kind]
    codec, output = spec.fit(labels), raw(kind, seed=1)
    joint = build(kind, name)(opinions({"a": output, "b": output.clone()}))
    for column, values in codec.decode(output).items():
        again = codec.decode(joint)[column]
        if column == "" and kind != "regression":
            assert again == values
        else:
            for one, other in zip(again, values, strict=True):
                assert np.allclose(one, other, atol=1e-5)


@EVERY_RULE
def test_a_stream_absent_from_all_rows_leaves_what_the_others_say_bit_for_bit(kind: str, name: str) -> None:
    said = {stream: raw(kind, seed=seed) for seed, stream in enumerate("abc")}
    missing = {"b": [False] * NUM_ROWS}
    three, two = build(kind, name, "abc"), build(kind, name, "ac")
    given = {stream: three.stated(one) for stream, one in said.items()}
    some = opinions(given, present=missing)
    assert torch.equal(three(some), two({stream: some[stream] for stream in "ac"}))


@EVERY_RULE
def test_rules_take_half_precision(kind: str, name: str) -> None:
    rule = build(kind, name)
    said = {stream: rule.stated(raw(kind, seed=seed).bfloat16()) for seed, stream in enumerate("ab")}
    features = {stream: torch.randn(NUM_ROWS, 3).bfloat16() for stream in "ab"}
    given = opinions(said, features=features)
    joint = rule(given)
    assert joint.dtype == torch.float32
    assert joint.isfinite().all()
    for term in rule.terms(given, target(kind)).values():
        assert term.sum.isfinite()


@EVERY_RULE
def test_streams_may_have_any_name(kind: str, name: str) -> None:
    streams = ("a.b", "train", "type", "50%")
    rule = build(kind, name, streams)
    said = {stream: rule.stated(raw(kind, seed=seed)) for seed, stream in enumerate(streams)}
    assert rule(opinions(said)).isfinite().all()
    rule.load_state_dict(rule.state_dict())


@EVERY_RULE
def test_what_a_network_compiles_looks_at_no_value(kind: str, name: str) -> None:
    """A rule is part of an exported graph: traced with every stream present, it answers for any."""
    rule = build(kind, name).eval()
    said = {stream: rule.stated(raw(kind, seed=seed)) for seed, stream in enumerate("ab")}

    class Joined(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rule = rule

        def forward(self, a: torch.Tensor, b: torch.Tensor, fa: torch.Tensor, fb: torch.Tensor, there: torch.Tensor):
            both = {"a": Opinion(a, fa, there | True, 1 / (1.0 + there)), "b": Opinion(b, fb, there, there / 2)}
            return self.rule(both)

    features = torch.randn(2, NUM_ROWS, 3)
    everyone, some = torch.ones(NUM_ROWS, dtype=torch.bool), torch.arange(NUM_ROWS) % 2 == 0
    graph = torch.export.export(Joined(), (said["a"], said["b"], *features, everyone)).module()
    with torch.no_grad():
        expected = Joined()(said["a"], said["b"], *features, some)
        torch.testing.assert_close(graph(said["a"], said["b"], *features, some), expected)
