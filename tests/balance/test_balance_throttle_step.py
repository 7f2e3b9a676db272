"""Every throttle in real steps of training: whatever the fusion, the tasks, what is absent, and the precision."""

import math

import pytest
import throttled
import torch
from throttled import batch, gradients, network, seen, step

from motet import balance, fusion, sharing, tasks
from motet.balance import ThrottleSpec
from motet.core.errors import SpecError
from motet.core.flow import Cells
from motet.fusion.base import FusionSpec
from motet.tasks import LinearHead

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
def test_a_task_without_a_head_has_single_heads_all_the_same(
    spec: ThrottleSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They read an input's tokens, which are as wide as they are; what stands for the task is in no way changed."""
    monkeypatch.setitem(throttled.TASKS, "price", tasks.Regression(head="none"))
    net = network(spec, shared=sharing.Hard(width=1, dropout=0.0))
    assert not list(net.heads["price"].parameters())
    result = step(net, [batch()], lr=0.1)
    assert result.moved
    assert result.losses["price"] > 0
    for _, head in net.singles["price"].items() if net.singles else ():
        assert isinstance(head, LinearHead)
        assert head.linear.weight.grad.abs().sum() > 0


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
