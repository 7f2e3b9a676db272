"""The network and what stands in for absent inputs: each row alone, each name alone, every joint checked."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from motet import balance, fusion, inputs, sharing, tasks
from motet.core.errors import SpecError
from motet.core.flow import Batch, Cells, Tokens
from motet.fusion.base import FusionSpec
from motet.inputs.base import Encoder, single_token
from motet.model import Network, answers, assemble, collect
from motet.model.assemble import drop_rate
from motet.model.presence import PresentOnly, drop_inputs
from motet.nn.keyed import current_row_keys, keys_of

FUSIONS: tuple[FusionSpec, ...] = (
    fusion.Concat(width=6), fusion.Weighted(width=6, per_row=True), fusion.Late(width=6), fusion.Hybrid(),
)  # fmt: skip
EVERY_FUSION = pytest.mark.parametrize("joined", FUSIONS, ids=lambda spec: spec.kind)
NAMES = ("age", "colour", "review")


def network(
    joined: FusionSpec = FUSIONS[0],
    *,
    names: Sequence[str] = NAMES,
    jobs: Sequence[str] = ("price", "sold"),
    **fields: object,
) -> Network:
    """A number, a category and a text; two tasks. Made in the order in which they are named."""
    specs = {
        "age": (inputs.Number(width=4, **fields), [1, 2, 3, 4]),
        "colour": (inputs.Category(width=4, **fields), ["red", "blue"] * 4),
        "review": (inputs.Text(width=4, vocabulary=260, **fields), ["so so", "well"]),
    }
    labels = {"price": (tasks.Regression(), [0.0, 1.0]), "sold": (tasks.Binary(), ["no", "yes"])}
    return assemble(
        inputs={name: (specs[name][0], specs[name][0].fit(specs[name][1])) for name in names},
        tasks={job: (labels[job][0], labels[job][0].fit(labels[job][1])) for job in jobs},
        fusion=joined, sharing=sharing.Hard(width=6), task_balance=balance.Fixed(),
        modality_balance=balance.NoThrottle(), seed=3,
    )  # fmt: skip


def cells(num_rows: int = 8, *, present: Mapping[str, Tensor] | None = None, seed: int = 0) -> dict[str, Cells]:
    generator = torch.Generator().manual_seed(seed)
    features = network().encoders["age"].encoder.embedding.in_features
    mask = torch.arange(5) < torch.randint(1, 6, (num_rows, 1), generator=generator)
    values = {
        "age": {"features": torch.randn(num_rows, features, generator=generator)},
        "colour": {"index": torch.randint(0, 3, (num_rows,), generator=generator)},
        "review": {"ids": torch.randint(1, 200, (num_rows, 5), generator=generator) * mask, "mask": mask},
    }
    drawn = {name: torch.rand(num_rows, generator=generator) < 0.6 for name in NAMES}
    return {name: Cells(values[name], (present or drawn)[name]) for name in NAMES}


def outputs(net: Network, given: Mapping[str, Cells]) -> dict[str, Tensor]:
    with torch.no_grad():
        return {task: decision.output for task, decision in net.eval()(given).items()}


class Recorder(Encoder):
    """Remembers what it was given, and under which row keys."""

    output_width = 2

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, Tensor | None]] = []

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        self.calls.append((values["x"].clone(), current_row_keys()))
        return single_token(values["x"])


@pytest.mark.parametrize("present", [[True, False, True, False], [False] * 4, [True] * 4])
def test_an_encoder_sees_the_rows_that_have_the_input_and_no_other(present: list[bool]) -> None:
    rows = torch.tensor(present)
    x, keys = torch.arange(8.0).reshape(4, 2), torch.arange(4) + 10
    recorder = Recorder()
    encoder = PresentOnly(recorder)
    with torch.no_grad():
        encoder.absent.copy_(torch.tensor([-1.0, -2.0]))
    tokens = encoder(Cells({"x": x}, rows), keys)
    assert len(recorder.calls) == (1 if rows.any() else 0)
    for seen, own_keys in recorder.calls:
        assert torch.equal(seen, x[rows])
        assert own_keys is not None
        assert torch.equal(own_keys, keys[rows])
    assert torch.equal(tokens.values[rows, 0], x[rows])
    assert torch.equal(tokens.values[~rows, 0], torch.tensor([[-1.0, -2.0]]).expand(int((~rows).sum()), 2))
    assert tokens.mask.all()
    assert torch.equal(tokens.present, rows)


def test_hide_leaves_the_absent_token_alone_at_the_first_place() -> None:
    encoder = PresentOnly(Recorder())
    with torch.no_grad():
        encoder.absent.fill_(7.0)
    values, mask = torch.randn(3, 4, 2), torch.tensor([[True] * 4, [True, True, False, False], [True] * 4])
    hidden = encoder.hide(Tokens(values, mask, torch.tensor([True, True, True])), torch.tensor([False, True, False]))
    assert torch.equal(hidden.values[[0, 2]], values[[0, 2]])
    assert hidden.values[1].tolist() == [[7.0, 7.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    assert hidden.mask.tolist() == [[True] * 4, [True, False, False, False], [True] * 4]
    assert hidden.present.tolist() == [True, False, True]


def test_the_absent_token_is_trained_by_the_rows_without_the_input() -> None:
    encoder = PresentOnly(Recorder())
    encoder(Cells({"x": torch.ones(3, 2)}, torch.tensor([True, False, False]))).values.sum().backward()
    assert encoder.absent.grad is not None
    assert encoder.absent.grad.tolist() == [2.0, 2.0]


@EVERY_FUSION
def test_the_content_of_absent_cells_changes_no_bit(joined: FusionSpec) -> None:
    net, given = network(joined), cells()
    other = cells(seed=1, present={name: given[name].present for name in NAMES})
    mixed = {
        name: Cells(
            {
                key: torch.where(beside(one.present, value), value, other[name].values[key])
                for key, value in one.values.items()
            },
            one.present,
        )
        for name, one in given.items()
    }
    changed = {name: given[name].values.keys() for name in NAMES if not given[name].present.all()}
    assert changed.keys() == set(NAMES)
    for task, output in outputs(net, given).items():
        assert torch.equal(output, outputs(net, mixed)[task])


def beside(present: Tensor, value: Tensor) -> Tensor:
    return present.reshape(-1, *[1] * (value.ndim - 1))


@EVERY_FUSION
def test_a_row_does_not_depend_on_its_batch_mates(joined: FusionSpec) -> None:
    net, given = network(joined), cells(12)
    together = outputs(net, given)
    for rows in (torch.tensor([5]), torch.tensor([11, 0, 4]), torch.arange(11, -1, -1)):
        some = {
            name: Cells({key: value[rows] for key, value in one.values.items()}, one.present[rows])
            for name, one in given.items()
        }
        for task, output in outputs(net, some).items():
            torch.testing.assert_close(output, together[task][rows], atol=1e-5, rtol=1e-5)


@EVERY_FUSION
def test_the_order_of_inputs_and_tasks_changes_no_bit(joined: FusionSpec) -> None:
    first = network(joined)
    second = network(joined, names=NAMES[::-1], jobs=("sold", "price"))
    assert list(first.state_dict()) == list(second.state_dict())
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name
    given = cells()
    turned = {name: given[name] for name in reversed(NAMES)}
    for task, output in outputs(first, given).items():
        assert torch.equal(output, outputs(second, turned)[task])


def test_the_weights_depend_on_the_seed_alone_and_leave_the_global_stream() -> None:
    torch.manual_seed(1)
    first, state = network(), torch.get_rng_state()
    torch.manual_seed(2)
    second = network()
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


@EVERY_FUSION
def test_inputs_taken_away_after_encoding_were_never_there(joined: FusionSpec) -> None:
    net, given = network(joined), cells(9)
    targets = {"price": Cells({"target": torch.zeros(9)}, torch.ones(9, dtype=torch.bool))}
    whole = Batch(given, targets, torch.arange(9))
    gone = ((), ("review",), ("age", "colour"), NAMES)
    found = collect(net.train(), [whole], absent=gone)
    assert net.training
    for names, one in zip(gone, found, strict=True):
        without = {name: Cells(own.values, own.present & (name not in names)) for name, own in given.items()}
        for task, output in outputs(net, without).items():
            torch.testing.assert_close(one.outputs[task], output, atol=1e-6, rtol=1e-6)
    with pytest.raises(ValueError, match="no rows"):
        collect(net, [])


def test_collect_joins_batches_and_scores_labelled_rows_alone() -> None:
    net, given = network(), cells(6)
    present = torch.tensor([True, False, True, True, False, True])
    whole = Batch(given, {"price": Cells({"target": torch.arange(6.0)}, present)}, torch.arange(6))
    parts = [
        Batch(
            {n: Cells({k: v[s] for k, v in c.values.items()}, c.present[s]) for n, c in given.items()},
            {"price": Cells({"target": torch.arange(6.0)[s]}, present[s])},
            torch.arange(6)[s],
        )
        for s in (slice(0, 4), slice(4, 6))
    ]
    one, two = collect(net, [whole])[0], collect(net, parts)[0]
    torch.testing.assert_close(one.outputs["price"], two.outputs["price"], atol=1e-5, rtol=1e-5)
    assert torch.equal(two.rows, torch.arange(6))
    assert torch.equal(two.present["age"], given["age"].present)
    output, target = two.scored("price")
    assert target.tolist() == [0.0, 2.0, 3.0, 5.0]
    assert torch.equal(output, two.outputs["price"][present])


def test_answers_are_columns_named_by_task_and_companion() -> None:
    codec = tasks.Binary().fit(["no", "yes"])
    columns = answers({"sold": codec}, {"sold": torch.tensor([2.0, -2.0])})
    assert list(columns) == ["sold", "sold__probability"]
    assert columns["sold"] == ["yes", "no"]


def drop(rates: Mapping[str, float], present: Mapping[str, Tensor], *, seed: int = 0) -> dict[str, Tensor]:
    rows = torch.arange(len(next(iter(present.values()))))
    given = {name: Cells({}, one) for name, one in present.items()}
    return {name: own.present for name, own in drop_inputs(given, rates, keys_of(rows, seed)).items()}


def test_inputs_are_dropped_at_their_rates() -> None:
    rates = {"a": 0.1, "b": 0.3, "c": 0.0}
    kept = drop(rates, dict.fromkeys(rates, torch.ones(40_000, dtype=torch.bool)))
    for name, rate in rates.items():
        assert 1 - kept[name].float().mean().item() == pytest.approx(rate, abs=0.01)
    both = (~kept["a"] & ~kept["b"]).float().mean().item()
    assert both == pytest.approx(0.03, abs=0.005)


def test_a_row_keeps_one_of_what_it_had_and_gains_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    present = {name: torch.rand(2000, generator=generator) < 0.5 for name in "abc"}
    kept = drop(dict.fromkeys("abc", 0.95), present)
    had, has = (torch.stack(list(one.values())) for one in (present, kept))
    assert not (has & ~had).any()
    assert torch.equal(has.any(dim=0), had.any(dim=0))
    assert has.sum(dim=0).float().mean() < 1.1


def test_drops_depend_on_the_row_and_the_name_alone() -> None:
    rates = {"a": 0.4, "b": 0.5}
    present = dict.fromkeys(rates, torch.ones(50, dtype=torch.bool))
    whole = drop(rates, present)
    turned = drop(dict(reversed(rates.items())), dict(reversed(present.items())))
    tail = drop_inputs(
        {name: Cells({}, one[30:]) for name, one in present.items()}, rates, keys_of(torch.arange(30, 50), 0)
    )
    for name in rates:
        assert torch.equal(whole[name], turned[name])
        assert torch.equal(whole[name][30:], tail[name].present)
    assert any(not torch.equal(whole[name], drop(rates, present, seed=1)[name]) for name in rates)


def test_training_drops_inputs_and_evaluation_does_not() -> None:
    net = network(drop=0.5)
    given = cells(64, present=dict.fromkeys(NAMES, torch.ones(64, dtype=torch.bool)))
    keys = keys_of(torch.arange(64), 0)
    dropped = {name: int((~tokens.present).sum()) for name, tokens in net.train().encode(given, keys).items()}
    assert all(15 < count < 45 for count in dropped.values())
    assert all(tokens.present.all() for tokens in net.eval().encode(given, keys).values())


def test_auto_drop_shrinks_with_the_number_of_inputs() -> None:
    rates = [drop_rate(inputs.Number(), num_inputs=count) for count in (1, 2, 3, 10, 50)]
    assert rates[0] == 0.0
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert all(rate > 0 for rate in rates[1:])
    assert drop_rate(inputs.Number(drop=0.7), num_inputs=1) == 0.7


def test_assemble_checks_the_joints() -> None:
    with pytest.raises(SpecError, match="at least one input and one task"):
        network(names=())
    with pytest.raises(SpecError, match="at least one input and one task"):
        network(jobs=())
    with pytest.raises(SpecError, match=r"there is no stream 'ages'.*did you mean 'age'"):
        network(fusion.Late(weights={"ages": 1.0, "colour": 1.0, "review": 1.0}))
    for joined in FUSIONS:
        net = network(joined)
        assert set(net.sharing) == set(net.fusion.streams)
        assert all(set(heads) == set(net.fusion.streams) for _, heads in net.heads.items())


@EVERY_FUSION
def test_a_row_without_any_input_is_answered_like_any_other_such_row(joined: FusionSpec) -> None:
    nothing = dict.fromkeys(NAMES, torch.zeros(3, dtype=torch.bool))
    for output in outputs(network(joined), cells(3, present=nothing)).values():
        assert output.isfinite().all()
        torch.testing.assert_close(output, output[:1].expand_as(output))
