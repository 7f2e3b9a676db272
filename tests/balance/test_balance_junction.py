"""The junction against K separate gradients combined by hand, and its behaviour where tasks are missing or broken."""

import copy
import pickle
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from motet.balance import MGDA, Balancer, Fixed, Junction, Log, Uncertainty
from motet.balance.base import BalancerSpec
from motet.core.errors import RunError, SpecError

TASKS = ("one", "two", "three", "four")


class Model(nn.Module):
    """Two streams, each with its own trunk; a head per task and stream."""

    def __init__(self, junction: Junction, *, streams: Sequence[str] = ("left", "right")) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunks = nn.ModuleDict({s: nn.Sequential(nn.Linear(6, 8), nn.Tanh()) for s in sorted(streams)})
        self.heads = nn.ModuleDict(
            {t: nn.ModuleDict({s: nn.Linear(8, 1) for s in sorted(streams)}) for t in sorted(TASKS)}
        )
        self.junction = junction

    def shared(self, x: Tensor) -> dict[str, Tensor]:
        return {stream: trunk(x) for stream, trunk in self.trunks.items()}

    def losses(self, copies: dict[str, dict[str, Tensor]], y: Tensor, labels: Tensor) -> dict[str, Tensor | None]:
        losses: dict[str, Tensor | None] = {}
        for index, task in enumerate(TASKS):
            output = sum(head(copies[task][stream])[:, 0] for stream, head in self.heads[task].items())
            rows = labels[:, index]
            losses[task] = ((output - y[:, index]) ** 2)[rows].mean() * 3**index if rows.any() else None
        return losses


def batch(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(10, 6, generator=generator), torch.randn(10, 4, generator=generator)
    labels = torch.rand(10, 4, generator=generator) < 0.6
    labels[:, seed % 4] &= seed % 3 != 0  # some steps have no label of some task
    return x, y, labels


def gradients(module: nn.Module) -> dict[str, Tensor | None]:
    return {name: None if p.grad is None else p.grad.clone() for name, p in module.named_parameters()}


def by_hand(
    model: Model, x: Tensor, y: Tensor, labels: Tensor, weigh: Callable[[Tensor, Sequence[str]], Tensor]
) -> None:
    """K calls of autograd.grad at the shared features; float64 Gram; one combined gradient sent through the trunks."""
    z = model.shared(x)
    detached = {stream: value.detach().requires_grad_() for stream, value in z.items()}
    losses = model.losses(dict.fromkeys(TASKS, detached), y, labels)
    given = [task for task in TASKS if losses[task] is not None]
    streams = sorted(detached)
    rows = [torch.autograd.grad(losses[task], [detached[s] for s in streams], retain_graph=True) for task in given]
    flat = torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows]).double()
    weights = weigh(flat @ flat.T, given)
    for index, stream in enumerate(streams):
        combined = sum(w * row[index] for w, row in zip(weights.tolist(), rows, strict=True))
        z[stream].backward(combined)
    for task in given:
        losses[task].backward(inputs=list(model.heads[task].parameters()), retain_graph=True)


def mgda_by_exhaustion(gram: Tensor, tasks: Sequence[str]) -> Tensor:
    """Try every set of active tasks; keep the feasible stationary point of least norm. Independent of the solver."""
    best, best_norm = torch.ones(len(tasks)), float("inf")
    for mask in range(1, 2 ** len(tasks)):
        active = [i for i in range(len(tasks)) if mask >> i & 1]
        solution = torch.linalg.solve(gram[active][:, active], torch.ones(len(active), dtype=gram.dtype))
        if (solution >= 0).all():
            weights = torch.zeros(len(tasks), dtype=gram.dtype)
            weights[active] = solution / solution.sum()
            if (norm := float(weights @ gram @ weights)) < best_norm:
                best, best_norm = weights, norm
    return best


def test_ten_steps_equal_separate_gradients_combined_by_hand() -> None:
    ours = Model(Junction(MGDA(), tasks=TASKS))
    theirs = copy.deepcopy(ours)
    ours_sgd, theirs_sgd = (torch.optim.SGD(m.parameters(), lr=0.02, momentum=0.9) for m in (ours, theirs))
    for seed in range(10):
        x, y, labels = batch(seed)
        ours_sgd.zero_grad()
        theirs_sgd.zero_grad()
        ours.junction.total(ours.losses(ours.junction(ours.shared(x)), y, labels)).backward()
        by_hand(theirs, x, y, labels, mgda_by_exhaustion)
        for (name, found), expected in zip(gradients(ours).items(), gradients(theirs).values(), strict=True):
            if expected is None:
                assert found is None, name
            else:
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, msg=name)
        ours_sgd.step()
        theirs_sgd.step()
    for (name, found), expected in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, msg=name)


def test_heads_keep_their_own_gradient() -> None:
    x, y, labels = batch(1)
    model = Model(Junction(MGDA(), tasks=TASKS))
    model.junction.total(model.losses(model.junction(model.shared(x)), y, labels)).backward()
    plain = Model(Junction(Fixed(), tasks=TASKS))
    plain.junction.total(plain.losses(plain.junction(plain.shared(x)), y, labels)).backward()
    heads = {n: g for n, g in gradients(model).items() if n.startswith("heads")}
    for name, gradient in heads.items():
        assert torch.equal(gradient, gradients(plain)[name]), name
    assert not torch.allclose(model.trunks["left"][0].weight.grad, plain.trunks["left"][0].weight.grad)


def test_without_a_gradient_method_copies_are_the_features_themselves() -> None:
    z = torch.randn(3, 2, requires_grad=True)
    copies = Junction(Fixed(), tasks=("a", "b"))(z)
    assert copies["a"] is z
    assert copies["b"] is z


def test_copies_share_memory_and_one_node() -> None:
    z = torch.randn(3, 2, requires_grad=True) * 1
    w = torch.randn(3, 4, requires_grad=True) * 1
    copies = Junction(MGDA(), tasks=("a", "b"))({"z": z, "w": w})
    assert copies["a"]["z"].data_ptr() == copies["b"]["z"].data_ptr() == z.data_ptr()
    assert len({copies[task][stream].grad_fn for task in "ab" for stream in "zw"}) == 1


def test_no_node_where_nothing_learns() -> None:
    junction = Junction(MGDA(), tasks=("a", "b"))
    assert junction(torch.ones(2))["a"].grad_fn is None
    with torch.no_grad():
        assert junction(torch.ones(2, requires_grad=True) * 1)["a"].grad_fn is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("balancer", [MGDA(), Fixed(), Uncertainty()])
def test_a_loss_that_is_not_finite_is_as_if_unlabelled_bit_for_bit(bad: float, balancer: object) -> None:
    for seed in range(100 // 9 + 1):
        x, y, labels = batch(seed)
        labels[:, :2] = True
        broken = TASKS[seed % 2]
        found = []
        for spoilt in (True, False):
            model = Model(Junction(balancer, tasks=TASKS))
            losses = model.losses(model.junction(model.shared(x)), y, labels)
            losses[broken] = losses[broken] * bad if spoilt else None
            model.junction.total(losses).backward()
            found.append(gradients(model))
            assert model.junction.left_out == ({broken: 1} if spoilt else {})
        for name, gradient in found[0].items():
            other = found[1][name]
            assert (gradient is None and other is None) or torch.equal(gradient, other), name


def test_left_out_is_counted_named_and_saved() -> None:
    junction = Junction(Fixed(), tasks=("a.b", "c"))
    for _ in range(3):
        junction.total({"a.b": torch.tensor(float("nan")), "c": torch.tensor(1.0)})
    resumed = Junction(Fixed(), tasks=("c", "a.b"))
    resumed.load_state_dict(junction.state_dict())
    assert resumed.left_out == {"a.b": 3}


def test_nothing_labelled_is_a_zero_that_moves_nothing() -> None:
    total = Junction(MGDA(), tasks=("a", "b")).total({"a": None})
    total.backward()
    assert total.item() == 0.0


def test_no_finite_loss_is_an_error_that_names_the_tasks() -> None:
    junction = Junction(MGDA(), tasks=("a", "b"))
    with pytest.raises(RunError, match="a is nan"):
        junction.total({"a": torch.tensor(float("nan")), "b": None})
    assert junction.left_out == {"a": 1}


def test_refuses_unknown_tasks_vectors_and_doubles() -> None:
    junction = Junction(Fixed(), tasks=("price", "sold"))
    with pytest.raises(SpecError, match="did you mean 'price'"):
        junction.total({"prise": torch.tensor(1.0)})
    with pytest.raises(SpecError, match="shape"):
        junction.total({"price": torch.ones(3)})
    with pytest.raises(SpecError, match="different names"):
        Junction(Fixed(), tasks=("a", "a"))
    with pytest.raises(SpecError, match="different names"):
        Junction(Fixed(), tasks=())


class Recording(Balancer):
    """Weights that depend on the names alone; remembers what it was asked."""

    needs = "gram"

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Tensor, tuple[str, ...]]] = []

    def weigh(self, losses):  # type: ignore[no-untyped-def]
        return dict(losses)

    def combine(self, gram, tasks):  # type: ignore[no-untyped-def]
        self.asked.append((gram, tuple(tasks)))
        return torch.tensor([float(len(task)) for task in tasks])

    def after_step(self, losses, again=None):  # type: ignore[no-untyped-def]
        self.stepped = dict(losses)

    def epoch_end(self, losses, gains=None):  # type: ignore[no-untyped-def]
        self.ended = dict(losses)


def test_one_call_per_backward_over_all_streams_without_zero_or_missing_rows() -> None:
    recording = Recording()
    junction = Junction(recording, tasks=("bb", "a", "zero", "gone"))
    z = {"s": torch.ones(2, requires_grad=True), "t": torch.ones(3, requires_grad=True)}
    copies = junction(z)
    loss_a = copies["a"]["s"].sum() * 2
    loss_b = copies["bb"]["s"][0] + copies["bb"]["t"].sum()
    junction.total({"a": loss_a, "bb": loss_b, "zero": copies["zero"]["s"].sum() * 0}).backward()
    ((gram, tasks),) = recording.asked
    assert tasks == ("a", "bb")
    assert gram.dtype == torch.float64
    assert gram.tolist() == [[8.0, 2.0], [2.0, 4.0]]
    assert z["s"].grad.tolist() == [1 * 2.0 + 2 * 1.0, 1 * 2.0]
    assert z["t"].grad.tolist() == [2.0, 2.0, 2.0]
    assert junction.weights == {"a": 1.0, "bb": 2.0}


def test_a_stream_that_does_not_learn_takes_no_part() -> None:
    recording = Recording()
    junction = Junction(recording, tasks=("a", "b"))
    z = {"s": torch.ones(2, requires_grad=True), "frozen": torch.ones(2)}
    copies = junction(z)
    junction.total({task: (copies[task]["s"] * copies[task]["frozen"]).sum() for task in "ab"}).backward()
    assert recording.asked[0][0].tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_every_zero_gradient_asks_nobody() -> None:
    recording = Recording()
    junction = Junction(recording, tasks=("a", "b"))
    z = torch.ones(2, requires_grad=True)
    copies = junction(z)
    junction.total({"a": copies["a"].sum() * 0, "b": copies["b"].sum() * 0}).backward()
    assert recording.asked == []
    assert z.grad.tolist() == [0.0, 0.0]


def test_an_infinite_gradient_passes_as_the_plain_sum() -> None:
    recording = Recording()
    junction = Junction(recording, tasks=("a", "b"))
    z = torch.zeros(2, requires_grad=True)
    copies = junction(z)
    junction.total({"a": copies["a"].sqrt().sum(), "b": copies["b"].sum()}).backward()
    assert recording.asked == []
    assert torch.isinf(z.grad).all()


def test_hooks_are_passed_on() -> None:
    junction = Junction(recording := Recording(), tasks=("a",))
    junction.after_step({"a": 1.0})
    junction.epoch_end({"a": 2.0})
    assert (recording.stepped, recording.ended) == ({"a": 1.0}, {"a": 2.0})


def test_the_order_of_tasks_and_streams_changes_nothing_bit_for_bit() -> None:
    x, y, labels = batch(2)
    found = []
    for tasks, streams in ((TASKS, ("left", "right")), (TASKS[::-1], ("right", "left"))):
        model = Model(Junction(MGDA(), tasks=tasks), streams=streams)
        shared = {stream: model.shared(x)[stream] for stream in streams}
        losses = model.losses(model.junction(shared), y, labels)
        model.junction.total({task: losses[task] for task in tasks}).backward()
        found.append(gradients(model))
    for name, gradient in found[0].items():
        assert torch.equal(gradient, found[1][name]), name


def test_accumulation_combines_each_micro_batch() -> None:
    model = Model(Junction(MGDA(), tasks=TASKS))
    totals = []
    for seed in (1, 2):  # both graphs alive before the first backward
        x, y, labels = batch(seed)
        totals.append(model.junction.total(model.losses(model.junction(model.shared(x)), y, labels)))
    for total in totals:
        total.backward()
    together = gradients(model)
    model.zero_grad()
    for seed in (1, 2):
        x, y, labels = batch(seed)
        model.junction.total(model.losses(model.junction(model.shared(x)), y, labels)).backward()
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(together[name], gradient)


def test_a_kept_graph_gives_the_same_gradient_again() -> None:
    x, y, labels = batch(1)
    model = Model(Junction(MGDA(), tasks=TASKS))
    total = model.junction.total(model.losses(model.junction(model.shared(x)), y, labels))
    total.backward(retain_graph=True)
    once = gradients(model)["trunks.left.0.weight"]
    total.backward()
    torch.testing.assert_close(gradients(model)["trunks.left.0.weight"], 2 * once)


def test_a_second_derivative_is_refused() -> None:
    junction = Junction(MGDA(), tasks=("a", "b"))
    z = torch.ones(2, requires_grad=True)
    copies = junction(z)
    total = junction.total({task: (copies[task] ** 2).sum() for task in "ab"})
    (gradient,) = torch.autograd.grad(total, z, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_a_copy_of_the_model_has_a_junction_of_its_own() -> None:
    model = Model(Junction(recording := Recording(), tasks=TASKS))
    other = copy.deepcopy(model)
    x, y, labels = batch(1)
    other.junction.total(other.losses(other.junction(other.shared(x)), y, labels)).backward()
    assert recording.asked == []
    assert len(other.junction.balancer.asked) == 1


def test_a_junction_that_was_used_can_be_pickled_to_other_processes() -> None:
    junction = Junction(MGDA(), tasks=("a", "b"))
    junction(torch.ones(2, requires_grad=True))
    assert pickle.loads(pickle.dumps(junction)).tasks == ("a", "b")


def test_bfloat16_features_under_autocast() -> None:
    x, y, labels = batch(1)
    exact = Model(Junction(MGDA(), tasks=TASKS))
    exact.junction.total(exact.losses(exact.junction(exact.shared(x)), y, labels)).backward()
    model = Model(Junction(MGDA(), tasks=TASKS))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model.losses(model.junction(model.shared(x)), y, labels)
        model.junction.total(losses).backward()
    assert model.junction.weights.keys() == exact.junction.weights.keys()
    for task, weight in model.junction.weights.items():
        assert weight == pytest.approx(exact.junction.weights[task], abs=0.1)


class Small(nn.Module):
    """Trunk, junction and heads in one forward, as one would compile it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk, self.junction = nn.Linear(3, 8), Junction(MGDA(), tasks=("a", "b"))
        self.heads = nn.ModuleDict({task: nn.Linear(8, 1) for task in "ab"})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {task: self.heads[task](copy) for task, copy in self.junction(torch.tanh(self.trunk(x))).items()}


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's, at any graph break
def test_under_compile_the_gradient_is_the_same() -> None:
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))

    def step(model: nn.Module, junction: Junction) -> None:
        outputs = model(x)
        junction.total({"a": outputs["a"].pow(2).mean(), "b": 5 * outputs["b"].abs().mean()}).backward()

    eager, compiled = Small(), Small()
    step(eager, eager.junction)
    step(torch.compile(compiled, backend="aot_eager"), compiled.junction)
    assert compiled.junction.weights == pytest.approx(eager.junction.weights)
    for name, gradient in gradients(compiled).items():
        torch.testing.assert_close(gradient, gradients(eager)[name], msg=name)


def test_a_priority_pulls_its_way_whatever_the_method() -> None:
    """Two orthogonal unit gradients under MGDA: the pull of a task is its priority times what MGDA alone gives it."""
    for priority in (1.0, 2.0, 4.0):
        junction = Junction(MGDA(), tasks=("a", "b"))
        x = torch.zeros(2, requires_grad=True)
        z = junction(x)
        junction.total({"a": z["a"][0], "b": z["b"][1]}, priorities={"a": priority}).backward()
        assert x.grad is not None
        torch.testing.assert_close(x.grad, torch.tensor([0.5 * priority, 0.5]))


def test_a_priority_multiplies_what_a_learned_weight_made_of_the_loss() -> None:
    junction = Junction(Uncertainty(), tasks=("a", "b"))
    losses = {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}
    plain = junction.total(losses)
    torch.testing.assert_close(junction.total(losses, priorities={"a": 3.0, "b": 1.0}), plain + 2 * 2.0)


def test_a_row_of_features_may_come_alone_at_a_layer() -> None:
    x = torch.ones(3, requires_grad=True)
    junction = Junction(MGDA(at="layer"), tasks=("a", "b"))
    z = junction(x * 1)
    junction.total({"a": (z["a"] - 3).pow(2).sum(), "b": (z["b"] + 1).abs().sum()}).backward()
    # of gain and bias, by hand: g_a = -4 and g_b = 1 for each of three features that are 1
    assert junction.gram is not None
    assert junction.gram[1].tolist() == [[96.0, -24.0], [-24.0, 6.0]]


def test_what_only_weighs_losses_says_how_much_each_counts() -> None:
    x = torch.tensor([2.0], requires_grad=True)
    for balancer, expected in ((Fixed(weights={"b": 3.0}), (1.0, 3.0)), (Log(), (0.25, 0.5))):
        junction = Junction(balancer, tasks=("a", "b"))
        z = junction(x)
        junction.total({"a": z["a"].pow(2).sum(), "b": z["b"].sum()})
        assert junction.weights == pytest.approx({"a": expected[0], "b": expected[1]})


def test_the_name_of_a_method_is_not_a_balancer() -> None:
    with pytest.raises(SpecError, match=r"such as balance\.MGDA\(\), found 'mgda'"):
        Junction("mgda", tasks=("a", "b"))  # type: ignore[arg-type]


def test_where_nothing_is_differentiated_the_total_is_still_the_sum() -> None:
    x = torch.tensor([2.0], requires_grad=True)
    losses = {"a": x.pow(2).sum(), "b": x.sum()}
    for balancer, expected in ((Fixed(), 6.0), (Fixed(weights={"b": 3.0}), 10.0)):
        with torch.no_grad():
            assert Junction(balancer, tasks=("a", "b")).total(losses).item() == expected


@pytest.mark.parametrize("balancer", [Fixed(), MGDA()])
def test_what_a_rare_look_at_the_parameters_needs_is_not_kept(balancer: BalancerSpec) -> None:
    trunk, junction = nn.Linear(40, 3), Junction(balancer, tasks=("a", "b"))
    junction.watch.every = 1
    junction.watch.begin(0)
    z = junction(trunk(torch.ones(200, 40)))
    junction.total({"a": z["a"].pow(2).sum(), "b": z["b"].sum()}).backward()
    assert junction.watch.found is not None
    assert "parameters" not in junction.workspace._memory
