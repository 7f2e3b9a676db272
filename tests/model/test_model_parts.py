"""Tasks that read parts of inputs, inside the whole network: what they read, what they learn from, where they meet."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_parts import Length, LengthCodec, OwnLength

from motet import balance, fusion, inputs, sharing
from motet.core.errors import SpecError
from motet.core.flow import Batch, Cells
from motet.model import Network, assemble
from motet.model.export import export, flat
from motet.model.infer import collect
from motet.model.presence import Drop
from motet.tasks import PartTask, Regression
from motet.testing.examples import input_cells
from motet.training.step import train_step

WIDTH = 8
SPECS: dict[str, Any] = {
    "note": inputs.Text(width=WIDTH, vocabulary=300, dropout=0.2),
    "photo": inputs.Image(size=(9, 12), width=WIDTH, first=4),
    "size": inputs.Number(width=WIDTH, bins=8),
}
KINDS = {"note": "text", "photo": "image", "size": "number"}
READERS = {name: spec.fit(input_cells(spec.kind)) for name, spec in SPECS.items()}
PRICE = Regression().fit([1.0, 2.0, 4.0])


def world(
    *parts: PartTask, operator: Any = None, balancer: Any = None, throttle: Any = None, rows: bool = True
) -> Network:
    """A network of three inputs, a price and these tasks."""
    jobs: dict[str, Any] = {"price": (Regression(), PRICE)} if rows else {}
    jobs |= {spec.kind: (spec.reading(KINDS), LengthCodec()) for spec in parts}
    return assemble(
        inputs={name: (spec, READERS[name]) for name, spec in SPECS.items()},
        tasks=jobs,
        fusion=operator or fusion.Concat(width=WIDTH),
        sharing=sharing.Hard(width=WIDTH, dropout=0.2),
        task_balance=balancer or balance.Fixed(),
        modality_balance=throttle or balance.NoThrottle(),
    )


def batch_of(network: Network, *, absent: Mapping[str, list[int]] | None = None, num_rows: int = 6) -> Batch:
    given = {}
    for name, spec in SPECS.items():
        present = torch.ones(num_rows, dtype=torch.bool)
        present[(absent or {}).get(name, [])] = False
        reader = READERS[name]
        items = [reader.read(cell) for cell in input_cells(spec.kind)[:num_rows]]
        given[name] = Cells(reader.batch(items), present)
    labels = torch.linspace(-1, 1, num_rows)
    targets = {
        task: Cells({"target": labels * (1 + place)}, torch.ones(num_rows, dtype=torch.bool))
        for place, task in enumerate(network.tasks)
    }
    return Batch(given, targets, torch.arange(num_rows))


def gradients(network: Network) -> dict[str, Tensor]:
    return {name: one.grad.clone() for name, one in network.named_parameters() if one.grad is not None}


def step(network: Network, batch: Batch, **changes: Any) -> Any:
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    priorities = dict.fromkeys(network.tasks, 1.0)
    return train_step(network, optimizer, [batch], priorities=priorities, seed=0, step=0, **changes)


@pytest.mark.parametrize(
    "operator", [fusion.Concat(width=WIDTH), fusion.Transformer(width=12, heads=2), fusion.Late(), fusion.Hybrid()]
)
@pytest.mark.parametrize("spec", [Length(of="note"), OwnLength(of="photo")])
def test_every_fusion_has_something_to_read(operator: Any, spec: PartTask) -> None:
    network = world(spec, operator=operator).eval()
    batch = batch_of(network)
    decisions = network(batch.inputs)
    assert decisions[spec.kind].output.shape == (6,)
    assert decisions[spec.kind].rows is None
    learnt = network(batch.inputs, None, batch.targets)[spec.kind]
    assert learnt.rows is not None
    torch.testing.assert_close(learnt.output, decisions[spec.kind].output)


def test_contextual_tokens_have_seen_the_other_inputs_and_own_ones_have_not() -> None:
    class Tokens(OwnLength):
        kind: Any = "tokens"

    network = world(
        Length(of="note"), Tokens(of="note"), operator=fusion.Transformer(width=12, heads=2, layers=1)
    ).eval()
    for name in ("length", "tokens"):
        torch.nn.init.zeros_(network.parts.heads[name].features.weight)  # type: ignore[union-attr, arg-type]
    batch = batch_of(network)
    whole = network(batch.inputs)
    without = network(batch_of(network, absent={"photo": [0, 1, 2, 3, 4, 5]}).inputs)
    assert not torch.allclose(whole["length"].output, without["length"].output)
    assert torch.equal(whole["tokens"].output, without["tokens"].output)


def test_rows_without_a_label_or_without_the_input_are_not_looked_at() -> None:
    network = world(Length(of="note"))
    batch = batch_of(network, absent={"note": [1]})
    batch.targets["length"].present[3] = False
    batch.targets["length"].values["target"][3] = float("nan")
    learnt = network.train()(batch.inputs, torch.arange(6), batch.targets)["length"]
    assert learnt.rows is not None
    assert learnt.rows.tolist() == [0, 2, 4, 5]
    result = step(network, batch)
    assert result.counts == {"length": 5, "price": 6}  # the label of row 1 counts, but has no loss


def test_a_task_without_any_row_moves_nothing_and_breaks_nothing() -> None:
    network = world(Length(of="note"))
    alone = copy.deepcopy(network)
    batch = batch_of(network, absent={"note": list(range(6))})
    result = step(network, batch)
    assert result.losses["length"] == 0
    assert result.moved
    batch.targets["length"].present[:] = False
    step(alone, batch)
    for name, gradient in gradients(alone).items():
        torch.testing.assert_close(gradients(network)[name], gradient)
    only = world(Length(of="note"), rows=False)
    assert not step(only, batch_of(only, absent={"note": list(range(6))})).moved


def test_dropout_of_a_head_follows_the_row_and_not_its_batch() -> None:
    network = world(Length(of="note")).train()
    batch, keys = batch_of(network), torch.arange(6) + 40
    whole = network(batch.inputs, keys, batch.targets)["length"].output
    targets = {name: Cells(one.values, one.present & (torch.arange(6) > 2)) for name, one in batch.targets.items()}
    some = network(batch.inputs, keys, targets)["length"].output
    torch.testing.assert_close(some, whole[3:])


def test_gradients_of_all_tasks_meet_at_the_junction() -> None:
    """Without rows in common at the features, a step by MGDA is what the Gram of all that passes asks for."""
    parts = (Length(of="note"), OwnLength(of="photo"))
    plain, balanced = world(*parts), world(*parts, balancer=balance.MGDA(at="features"))
    balanced.load_state_dict(plain.state_dict(), strict=False)
    batch = batch_of(plain)
    for network in (plain, balanced):
        step(network, batch)
    assert balanced.junction.gram is not None
    names, gram = balanced.junction.gram
    assert names == ["length", "own_length", "price"]
    per_task = {}
    for task in names:
        one = world(*parts)
        one.load_state_dict(plain.state_dict(), strict=False)
        with torch.no_grad():  # both have stepped: go back to the weights before
            for parameter, stepped in zip(one.parameters(), plain.parameters(), strict=True):
                parameter.copy_(stepped + 0.1 * (0 if stepped.grad is None else stepped.grad))
        keep = torch.tensor(True)
        targets = {n: Cells(c.values, c.present & (keep if n == task else ~keep)) for n, c in batch.targets.items()}
        step(one, Batch(batch.inputs, targets, batch.rows))
        per_task[task] = gradients(one)
    weights = balanced.junction.weights
    expected = sum(weights[task] * per_task[task].get("encoders.note.encoder.embedding.weight", 0) for task in names)
    torch.testing.assert_close(
        gradients(balanced)["encoders.note.encoder.embedding.weight"], expected, rtol=2e-3, atol=1e-6
    )
    assert bool((gram.diagonal() > 0).all())


@pytest.mark.parametrize("at", ["features", "layer", "parameters"])
def test_every_place_of_the_junction_takes_parts(at: Any) -> None:
    network = world(Length(of="note"), OwnLength(of="photo"), balancer=balance.MGDA(at=at))
    for _ in range(2):
        result = step(network, batch_of(network))
        assert result.moved
    assert sum(result.weights.values()) == pytest.approx(1, abs=1e-6)


def test_rows_weigh_as_often_as_they_would_come() -> None:
    network = world(Length(of="note"))
    for module in network.modules():
        if hasattr(module, "p"):
            module.p = 0.0
    network.drop = dict.fromkeys(network.drop, Drop(0.0))
    twice = copy.deepcopy(network)
    batch = batch_of(network, num_rows=4)
    step(network, Batch(batch.inputs, batch.targets, batch.rows, weights=torch.tensor([2.0, 1.0, 0.0, 1.0])))
    rows = torch.tensor([0, 0, 1, 3])
    repeated = Batch(
        {name: cells.rows(rows) for name, cells in batch.inputs.items()},
        {name: cells.rows(rows) for name, cells in batch.targets.items()},
        torch.arange(4),
    )
    step(twice, repeated)
    for name, gradient in gradients(twice).items():
        torch.testing.assert_close(gradients(network)[name], gradient, rtol=1e-4, atol=1e-6)


def test_single_input_heads_are_for_tasks_that_decide_about_rows() -> None:
    network = world(Length(of="note"), throttle=balance.AGM())
    assert step(network, batch_of(network)).moved
    assert list(network.singles) == ["price"]
    with pytest.raises(SpecError, match=r"agm judges inputs by tasks that decide about rows"):
        world(Length(of="note"), throttle=balance.AGM(), rows=False)


def test_answers_are_collected_with_inputs_taken_away() -> None:
    network = world(Length(of="note"), OwnLength(of="photo"))
    whole, without = collect(network, [batch_of(network)], absent=[[], ["note"]])
    assert whole.outputs["length"].shape == (6,)
    assert not torch.equal(whole.outputs["length"], without.outputs["length"])


def test_a_network_that_reads_parts_is_exported() -> None:
    network = world(Length(of="note"), OwnLength(of="photo")).eval()
    batch = batch_of(network, absent={"photo": [2]})
    program = export(network, batch.inputs).module()
    some = batch_of(network, absent={"note": [0], "photo": [1, 3]}, num_rows=5)
    found = program(*flat(some.inputs).values())
    for task, decision in network(some.inputs).items():
        torch.testing.assert_close(found[task], decision.output, rtol=1e-5, atol=1e-5)


def test_an_input_that_can_not_be_read_is_named() -> None:
    with pytest.raises(SpecError, match=r"there are note, photo: name one by `of`"):
        Length().reading(KINDS)
    with pytest.raises(SpecError, match="no input 'nite'; did you mean 'note'"):
        Length(of="nite").reading(KINDS)
    with pytest.raises(SpecError, match="'size' is of kind number; a length task reads an input of kind text or image"):
        Length(of="size").reading(KINDS)
