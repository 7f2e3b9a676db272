"""What throttles have in common: scores, heads, nodes, and their place in a step of training."""

import math
from typing import Any

import pytest
import torch
from throttled import batch, gradients, network, seen, step, told
from torch import Tensor

from motet import balance, fusion
from motet.balance import ThrottleSpec
from motet.balance.gradients import met, scaled
from motet.balance.numbers import Means
from motet.balance.shapley import shapley
from motet.balance.singles import mean_by_input, scores, single_terms
from motet.core.errors import SpecError
from motet.core.flow import Cells, Tokens
from motet.fusion.base import FusionSpec

NONE = balance.NoThrottle()
TASKS = ("kind", "price", "sold")
KINDS: list[ThrottleSpec] = [
    balance.OGM(alpha=1.0),
    balance.AGM(alpha=1.0),
    balance.PMR(alpha=1.0, entropy=0.5),
    balance.Blend(every=1),
    balance.Blend(weights={"age": 0.3}),
    balance.MMPareto(),
    balance.Resample(warmup=1),
]
every_kind = pytest.mark.parametrize("spec", KINDS, ids=[f"{n} {spec.kind}" for n, spec in enumerate(KINDS)])


def tokens_of(values: Tensor, present: list[bool] | None = None) -> Tokens:
    there = torch.tensor(present or [True] * len(values))
    return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool), there)


# --- the one that does nothing


def test_none_is_the_identity_forward_and_back() -> None:
    tokens = {"photo": tokens_of(torch.randn(2, 1, 3, requires_grad=True))}
    throttle = NONE.build({"photo": 3}, tasks={"price": None}).train()
    throttled, alone = throttle(tokens)
    assert throttled["photo"] is tokens["photo"]
    assert alone == {}
    assert not throttle.uses_singles
    assert not list(throttle.parameters())


# --- scores


def test_the_score_is_the_probability_of_the_true_label_averaged_over_counted_rows_then_tasks() -> None:
    probabilities = {"a": {"x": [0.5, 0.25], "y": [0.1, 0.9]}, "b": {"x": [0.8, 0.3], "y": [1.0, 0.5]}}
    losses = {
        name: {task: [-math.log(p) for p in row] for task, row in own.items()} for name, own in probabilities.items()
    }
    found = scores(told(losses, absent={"b": [1]}))
    assert found == pytest.approx({"a": ((0.5 + 0.25) / 2 + (0.1 + 0.9) / 2) / 2, "b": (0.8 + 1.0) / 2})


def test_the_score_of_a_number_is_its_gaussian_likelihood() -> None:
    assert scores(told({"a": {"x": [0.0, 4.0]}})) == pytest.approx({"a": (1 + math.exp(-4.0)) / 2})


def test_an_input_without_rows_or_without_a_finite_loss_has_no_score() -> None:
    losses = {"a": {"x": [1.0, 1.0]}, "b": {"x": [1.0, 1.0]}, "c": {"x": [1.0, math.nan], "y": [0.0, 0.0]}}
    losses |= {"d": {"x": [math.nan, 0.0]}}
    found = scores(told(losses, absent={"b": [0, 1]}))
    assert found == pytest.approx({"a": math.exp(-1), "c": 1.0})


def test_nothing_to_average_is_nothing() -> None:
    assert mean_by_input({}, {}) == {}
    assert mean_by_input({"a": {}}, {"a": {}}) == {}


def test_terms_stand_on_the_footing_of_the_tasks_own_loss() -> None:
    """Rows without the input count as 0, so the sum over inputs is a mean over labelled rows of each."""
    terms = single_terms(told({"a": {"x": [1.0, 3.0]}, "b": {"x": [5.0, 7.0]}}, absent={"b": [0]}))
    assert {name: float(term) for name, term in terms.items()} == {"x/a alone": 2.0, "x/b alone": 3.5}


def test_means_leave_out_what_does_not_count_and_begin_anew() -> None:
    means = Means(["a", "b.c"])
    means.add("b.c", torch.tensor([1.0, 2.0, 4.0, math.inf]), torch.tensor([True, False, True, True]))
    means.add("b.c", torch.tensor([7.0]), torch.tensor([True]))
    assert means.found() == {"b.c": 4.0}
    means.clear()
    assert means.found() == {}


# --- Shapley values


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "b", "c"], ["d", "c", "b", "a"]], ids=len)
def test_shapley_is_the_mean_over_all_orders_of_coming_in(names: list[str]) -> None:
    """The definition, by hand: each input's addition when the inputs come one after another, in every order."""
    from itertools import permutations

    chance = torch.Generator().manual_seed(len(names))
    worth: dict[frozenset[str], Tensor] = {}

    def value(inside: frozenset[str]) -> dict[str, Tensor]:
        return {"x": worth.setdefault(inside, torch.randn(3, generator=chance))}

    expected = dict.fromkeys(names, torch.zeros(3))
    orders = list(permutations(names))
    for order in orders:
        for place, name in enumerate(order):
            added = value(frozenset(order[: place + 1]))["x"] - value(frozenset(order[:place]))["x"]
            expected[name] = expected[name] + added / len(orders)
    found = shapley(names, value)
    for name in names:
        torch.testing.assert_close(found[name]["x"], expected[name])
    whole = value(frozenset(names))["x"] - value(frozenset())["x"]
    torch.testing.assert_close(torch.stack([found[name]["x"] for name in names]).sum(dim=0), whole)


def test_from_five_inputs_on_shapley_is_the_mean_of_alone_and_left_out() -> None:
    asked: list[frozenset[str]] = []

    def value(inside: frozenset[str]) -> dict[str, Tensor]:
        asked.append(inside)
        return {"x": torch.tensor([float(sum(map(ord, inside)) ** 2)])}

    found = shapley(list("abcde"), value)
    assert len(asked) == 2 * 5 + 2
    whole, rest = sum(map(ord, "abcde")) ** 2, sum(map(ord, "bcde")) ** 2
    assert found["a"]["x"].item() == pytest.approx((ord("a") ** 2 + whole - rest) / 2)


# --- the nodes


def test_a_scaled_gradient_is_scaled_in_the_rows_that_have_the_input_and_nowhere_else() -> None:
    values = torch.randn(3, 2, 4, requires_grad=True)
    throttle = NONE.build({"a": 4}, tasks={})
    out = scaled({"a": tokens_of(values, [True, False, True])}, throttle)["a"]
    assert torch.equal(out.values, values)
    throttle.factors = {"a": 0.25}  # found after the forward pass
    weights = torch.randn(3, 2, 4)
    (out.values * weights).sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad, weights * torch.tensor([0.25, 1.0, 0.25])[:, None, None])


def test_the_meeting_hands_over_both_gradients_at_once_hidden_rows_taken_out() -> None:
    values = torch.randn(2, 1, 2, requires_grad=True)
    handed: list[Any] = []

    def combine(name: str, joint: Tensor | None, single: Tensor | None) -> Tensor:
        handed.append((name, joint, single))
        return torch.full((2, 1, 2), 7.0)

    joint, single = met({"a": tokens_of(values, [True, False])}, combine)
    (2 * joint["a"].values).sum().backward(retain_graph=True)
    (2 * joint["a"].values + 3 * single["a"].values).sum().backward()
    assert handed[0][2] is None
    name, first, second = handed[1]
    assert (name, first.flatten().tolist(), second.flatten().tolist()) == ("a", [2, 2, 0, 0], [3, 3, 0, 0])
    assert values.grad is not None
    assert values.grad.flatten().tolist() == [14.0, 14.0, 7.0, 7.0]  # twice the 7; the plain 2, then 2 + 3


def test_without_gradients_there_are_no_nodes() -> None:
    tokens = {"a": tokens_of(torch.randn(2, 1, 2))}
    assert scaled(tokens, NONE.build({"a": 2}, tasks={}))["a"] is tokens["a"]
    joint, single = met(tokens, lambda name, one, other: torch.zeros(()))
    assert joint["a"].values is single["a"].values is tokens["a"].values


# --- in a step of training


@every_kind
def test_single_heads_learn_and_probes_teach_no_encoder(spec: ThrottleSpec) -> None:
    net, plain = network(spec), network(NONE)
    step(net, [batch()])
    step(plain, [batch()])
    for task in net.singles:
        for name, head in net.singles[task].items():
            assert head.linear.weight.grad.abs().sum() > 0, (task, name)
    heads = zip(net.heads["price"].parameters(), plain.heads["price"].parameters(), strict=True)
    assert all(torch.equal(one.grad, other.grad) for one, other in heads), "the joint heads see another loss"


@every_kind
@pytest.mark.parametrize(
    "joined", [fusion.Late(width=4, auxiliary=0.5), fusion.Weighted(width=4)], ids=["late", "weighted"]
)
def test_any_fusion_will_do(spec: ThrottleSpec, joined: FusionSpec) -> None:
    net = network(spec, joined=joined)
    for number in range(3):
        result = step(net, [batch(seed=number)], number=number, lr=0.1)
        assert result.moved
        net.epoch_end(None)
    assert all(parameter.isfinite().all() for parameter in net.parameters())


@every_kind
@pytest.mark.parametrize("asked", [["price"], ["kind"], ["sold", "price"]], ids="+".join)
def test_any_tasks_will_do_or_are_refused(spec: ThrottleSpec, asked: list[str]) -> None:
    if spec.kind == "pmr" and asked == ["price"]:
        with pytest.raises(SpecError, match=r"no task has classes \(found price\)"):
            network(spec, asked=asked)
        return
    net = network(spec, asked=asked)
    results = [step(net, [batch(seed=number)], number=number, lr=0.1) for number in range(3)]
    assert all(result.moved and len(result.losses) == len(asked) for result in results)


@every_kind
def test_all_rows_may_lack_an_input_or_all(spec: ThrottleSpec) -> None:
    net = network(spec)
    for absent in (["size"], ["size", "rank"], ["age", "size", "rank"]):
        result = step(net, [batch(absent=absent)], lr=0.1)
        assert result.moved
        assert all(result.factors[name] == 1 for name in absent)
    assert all(parameter.isfinite().all() for parameter in net.parameters())


@every_kind
def test_a_task_whose_loss_is_not_finite_is_left_out(spec: ThrottleSpec) -> None:
    """Bit for bit as if it had no label."""
    nets = [network(spec) for _ in range(2)]
    for number in range(3):
        healthy = batch(seed=number)
        former = healthy.targets["price"]
        bad, none = healthy.targets.copy(), healthy.targets.copy()
        bad["price"] = type(former)({"target": torch.full_like(former.values["target"], math.nan)}, former.present)
        none["price"] = type(former)(former.values, torch.zeros_like(former.present))
        for net, targets in zip(nets, (bad, none), strict=True):
            step(net, [type(healthy)(healthy.inputs, targets, healthy.rows)], number=number, lr=0.1)
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(one, other)


@every_kind
def test_the_state_goes_on_in_the_middle_of_an_epoch(spec: ThrottleSpec) -> None:
    """A network that takes over the state after any step ends with the same bits as the one that went on."""
    whole, copies = network(spec), [network(spec, seed=9) for _ in range(4)]
    for number in range(6):
        if number < 4:
            copies[number].load_state_dict(whole.state_dict())
        for net in [whole, *copies[: number + 1]]:
            step(net, [batch(seed=number)], number=number, lr=0.1)
            if number % 2:
                losses = {name: 1 / (number + len(name)) for name in ("", "age", "size", "rank")}
                net.epoch_end({name: dict.fromkeys(TASKS, loss) for name, loss in losses.items()})
    for copy in copies:
        for name, value in copy.state_dict().items():
            assert torch.equal(value, whole.state_dict()[name]), name


@every_kind
def test_batches_of_an_accumulated_step_are_judged_each_on_its_own(spec: ThrottleSpec) -> None:
    """The step's gradient is the sum of what each batch would give, scaled to the labels of both."""
    spec = spec.model_copy(update={"noise": False}) if spec.kind == "ogm" else spec
    halves = [batch(seed=1, labelled=1.0), batch(seed=2, labelled=1.0)]
    together, one_by_one = network(spec), network(spec)
    step(together, halves)
    alone = []
    for half in halves:
        step(one_by_one, [half])
        alone.append({name: gradients(one_by_one, name) for name in ("age", "size", "rank")})
    for name in ("age", "size", "rank"):
        for found, first, second in zip(gradients(together, name), alone[0][name], alone[1][name], strict=True):
            torch.testing.assert_close(found, (first + second) / 2, atol=1e-6, rtol=1e-5)


@every_kind
def test_in_half_precision_it_does_nearly_the_same(spec: ThrottleSpec) -> None:
    spec = spec.model_copy(update={"noise": False}) if spec.kind == "ogm" else spec
    nets = {precision: network(spec) for precision in ("float32", "bfloat16")}
    for number in range(2):
        for precision, net in nets.items():
            step(net, [batch(seed=number)], number=number, precision=precision)
    for name in ("age", "size", "rank"):
        found, exact = (torch.cat([one.flatten() for one in gradients(net, name)]) for net in reversed(nets.values()))
        assert (found - exact).norm() < 0.1 * exact.norm()
        assert not torch.equal(found, exact)


@every_kind
def test_in_double_precision_it_does_the_same(spec: ThrottleSpec) -> None:
    spec = spec.model_copy(update={"noise": False}) if spec.kind == "ogm" else spec
    single, double = network(spec), network(spec).double()
    for number in range(2):
        given = batch(seed=number)
        wide = {
            name: Cells({"features": one.values["features"].double()}, one.present)
            for name, one in given.inputs.items()
        }
        step(single, [given], number=number)
        step(double, [type(given)(wide, given.targets, given.rows)], number=number)
    for name in ("age", "size", "rank"):
        for found, expected in zip(gradients(double, name), gradients(single, name), strict=True):
            assert found.dtype == torch.float64
            torch.testing.assert_close(found.float(), expected, atol=1e-5, rtol=1e-3)


@every_kind
def test_the_order_of_inputs_does_not_matter(spec: ThrottleSpec) -> None:
    nets = [network(spec), network(spec, names=("rank", "size", "age"))]
    for number in range(3):
        straight = batch(seed=number)
        turned = type(straight)(dict(reversed(straight.inputs.items())), straight.targets, straight.rows)
        found = [step(net, [one], number=number, lr=0.1) for net, one in zip(nets, (straight, turned), strict=True)]
        assert found[0].factors == found[1].factors
        assert found[0].terms == found[1].terms
        for net in nets:
            net.epoch_end(None)
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(one, other)


@every_kind
def test_in_evaluation_it_is_not_there(spec: ThrottleSpec) -> None:
    net, plain = network(spec), network(NONE)
    for number in range(3):
        step(net, [batch(seed=number)], number=number)
        net.epoch_end(None)
    found = []
    for one in (net, plain):
        one.eval()
        one.zero_grad()
        decisions = one(batch().inputs)
        sum(decision.output.sum() for decision in decisions.values()).backward()
        found.append([*gradients(one, "age"), *(decision.output for decision in decisions.values())])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_what_the_others_say_of_one_input_is_asked_of_the_whole_model() -> None:
    """The witness of the real network: single losses of rows without the input are 0, and alone hides the rest."""
    net, one = network(balance.AGM()), batch(labelled=1.0)
    told_of = seen(net, one)
    lacking = ~one.inputs["size"].present
    assert lacking.any()
    assert not told_of.losses["size"]["price"][lacking].any()
    only = told_of.alone(frozenset(["age"]))
    net_alone = net.decide(net.without(told_of.tokens, ["size", "rank"]))
    expected = (net_alone["price"].output - one.targets["price"].values["target"]) ** 2
    torch.testing.assert_close(only["price"], expected)
    assert not only["price"].requires_grad
