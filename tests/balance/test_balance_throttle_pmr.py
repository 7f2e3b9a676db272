"""PMR: prototypes, equations 7 to 13 of Fan et al. by hand, and what reaches an encoder."""

import math
from dataclasses import replace

import pytest
import torch
from throttled import batch, gradients, network, seen, step, told
from torch import Tensor

from motet.balance import PMR, NoThrottle, PMRThrottle, Witness
from motet.balance.prototypes import Prototypes, entropy
from motet.core.errors import SpecError
from motet.core.flow import Batch, Cells, Tokens

# --- prototypes


def rows_of(count: int) -> Tensor:
    return torch.ones(count, dtype=torch.bool)


def test_a_prototype_is_the_mean_of_its_class_so_far_and_settles_with_momentum() -> None:
    prototypes = Prototypes(classes=3, width=2, momentum=0.25)
    prototypes.add(torch.tensor([[0.0, 2.0], [4.0, 0.0], [9.0, 9.0]]), torch.tensor([0, 0, 1]), rows_of(3))
    prototypes.add(torch.tensor([[2.0, 4.0]]), torch.tensor([0]), rows_of(1))
    prototypes.settle()
    assert prototypes.centres.tolist() == [[2.0, 2.0], [9.0, 9.0], [0.0, 0.0]]
    prototypes.add(torch.tensor([[6.0, 2.0], [1.0, 1.0]]), torch.tensor([0, 2]), rows_of(2))
    prototypes.settle()
    assert prototypes.centres.tolist() == [[0.25 * 2 + 0.75 * 6, 2.0], [9.0, 9.0], [1.0, 1.0]]
    assert prototypes.settled.all()


def test_rows_that_do_not_count_leave_no_trace() -> None:
    one, other = (Prototypes(classes=2, width=1) for _ in range(2))
    one.add(torch.tensor([[1.0], [math.nan], [5.0], [7.0]]), torch.tensor([0, 0, -9, 2]), rows_of(4))
    other.add(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 0]), torch.tensor([True, False]))
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_the_probability_is_a_softmax_over_distances_to_known_classes() -> None:
    prototypes = Prototypes(classes=4, width=2)
    centres = {0: [0.0, 0.0], 1: [3.0, 4.0], 3: [-1.0, 0.0]}
    prototypes.add(torch.tensor(list(centres.values())), torch.tensor(list(centres)), rows_of(3))
    z, labels = torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.tensor([1, 2])
    log_probability, counted = prototypes(z, labels, rows_of(2))
    assert counted.tolist() == [True, False]  # nothing is known of class 2
    weights = {label: math.exp(-math.dist((0.0, 0.0), centre)) for label, centre in centres.items()}
    for label in range(4):
        expected = weights.get(label, 0.0) / sum(weights.values())
        assert float(log_probability[0, label].exp()) == pytest.approx(expected, abs=1e-6)


def test_before_anything_is_known_nothing_counts_and_all_is_finite() -> None:
    z = torch.randn(2, 3, requires_grad=True)
    log_probability, counted = Prototypes(classes=2, width=3)(z, torch.tensor([0, 1]), rows_of(2))
    torch.where(counted, log_probability[:, 0] + entropy(log_probability), 0.0).sum().backward()
    assert not counted.any()
    assert z.grad is not None
    assert not z.grad.any()


def test_a_vector_on_its_prototype_has_a_finite_gradient() -> None:
    prototypes = Prototypes(classes=2, width=2)
    z = torch.tensor([[1.0, 1.0]], requires_grad=True)
    prototypes.add(z, torch.tensor([0]), rows_of(1))
    prototypes.add(torch.zeros(1, 2), torch.tensor([1]), rows_of(1))
    log_probability, _ = prototypes(z, torch.tensor([0]), rows_of(1))
    (log_probability[0, 0] + entropy(log_probability).sum()).backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()
    assert z.grad.any()


# --- the losses


def throttle(**changes: float) -> PMRThrottle:
    """Two inputs of width 1 that see class 0 at 0 and class 1 at 1, and a third that sees them at 0 and 9."""
    made = PMRThrottle({"a": 1, "b": 1, "c": 1}, classes={"x": 2}, **{"alpha": 2.0, "entropy": 0.5, **changes})
    for name, far in (("a", 9.0), ("b", 1.0), ("c", 2.0)):
        made.prototypes[name]["x"].add(torch.tensor([[0.0], [far]]), torch.tensor([0, 1]), rows_of(2))
    made.epoch_end(None)
    return made.train()


def witness_of(
    values: dict[str, list[float]], labels: list[int], absent: dict[str, list[int]] | None = None
) -> Witness:
    """Tokens of width 1 with these values, and class labels."""
    plain = told({name: {"x": [0.0] * len(labels)} for name in values}, absent=absent)
    tokens = {
        name: Tokens(
            torch.tensor(own)[:, None, None].requires_grad_(), plain.tokens[name].mask, plain.tokens[name].present
        )
        for name, own in values.items()
    }
    every = torch.ones(len(labels), dtype=torch.bool)
    return replace(plain, tokens=tokens, targets={"x": Cells({"target": torch.tensor(labels)}, every)})


def probability(z: float, far: float, label: int) -> float:
    """Of class 0 at 0 and class 1 at `far`, for a single number."""
    near, off = math.exp(-abs(z)), math.exp(-abs(z - far))
    return (near if label == 0 else off) / (near + off)


def spread(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def test_the_losses_are_equations_nine_to_thirteen() -> None:
    """Input a is sure, b is not, c lies between."""
    values, labels = {"a": [0.5, 8.0], "b": [0.4, 0.7], "c": [0.5, 1.6]}, [0, 1]
    made = throttle()
    terms = made.terms(witness_of(values, labels))
    far = {"a": 9.0, "b": 1.0, "c": 2.0}
    p = {name: [probability(z, far[name], y) for z, y in zip(own, labels, strict=True)] for name, own in values.items()}
    score = {name: sum(own) / 2 for name, own in p.items()}
    assert score["a"] > score["c"] > score["b"]
    pull = {name: min(max(score["a"] / score[name] - 1, 0), 1) for name in score}
    for name in ("b", "c"):
        expected = 2.0 * pull[name] * sum(-math.log(one) for one in p[name]) / 2
        assert terms[f"x/{name} prototypes"].item() == pytest.approx(expected, rel=1e-5)
    assert "x/a prototypes" not in terms
    held = 0.5 * pull["b"] * sum(spread(one) for one in p["a"]) / 2
    assert terms["x/a entropy"].item() == pytest.approx(-held, rel=1e-5)
    assert [name for name in terms if "entropy" in name] == ["x/a entropy"]
    assert made.factors == pytest.approx({name: 1 + 2.0 * own for name, own in pull.items()})


def test_for_two_inputs_the_coefficients_are_those_of_equation_eleven() -> None:
    made = PMRThrottle({"a": 1, "b": 1}, classes={"x": 2}, alpha=1.0)
    for scores in ((0.9, 0.6), (0.6, 0.9), (0.9, 0.1), (0.5, 0.5)):
        ratio = scores[0] / scores[1]
        beta = min(max(1 / ratio - 1, 0), 1) if ratio < 1 else 0.0
        gamma = min(max(ratio - 1, 0), 1) if ratio >= 1 else 0.0
        logs = {name: torch.tensor([[one, 1 - one]]).log() for name, one in zip("ab", scores, strict=True)}
        said = {(name, "x"): (log, torch.tensor([0]), rows_of(1)) for name, log in logs.items()}
        witness = told({"a": {"x": [0.0]}, "b": {"x": [0.0]}})
        assert made._slowness(witness, said) == pytest.approx({"a": beta, "b": gamma}, rel=1e-5)


def test_entropy_is_raised_in_the_first_epochs_alone() -> None:
    values, labels = {"a": [0.5, 8.0], "b": [0.4, 0.7], "c": [0.5, 1.6]}, [0, 1]
    made, found = throttle(entropy_epochs=2), []
    for _ in range(3):
        found.append("x/a entropy" in made.terms(witness_of(values, labels)))
        made.epoch_end(None)
    assert found == [True, False, False]  # `throttle` has ended an epoch already
    assert "x/a entropy" not in throttle(entropy=0.0).terms(witness_of(values, labels))


def test_the_entropy_of_the_best_rises_and_the_slow_are_drawn_to_their_class() -> None:
    values, labels = {"a": [2.0, 6.0], "b": [0.4, 0.7], "c": [0.5, 1.6]}, [0, 1]
    witness = witness_of(values, labels)
    sum(throttle().terms(witness).values()).backward()  # type: ignore[union-attr]
    moves = {name: (-one.values.grad).flatten().tolist() for name, one in witness.tokens.items()}
    assert moves["a"][0] > 0 > moves["a"][1]  # towards the middle between the two classes
    assert moves["b"][0] < 0 < moves["b"][1]  # away from it


def test_rows_without_the_input_take_no_part() -> None:
    values, labels = {"a": [0.5, 8.0, 8.0], "b": [0.4, 0.7, 55.0], "c": [0.5, 1.6, 1.6]}, [0, 1, 0]
    witness = witness_of(values, labels, absent={"b": [2]})
    made = throttle()
    terms = made.terms(witness)
    p = [probability(0.4, 1.0, 0), probability(0.7, 1.0, 1)]
    share = (made.factors["b"] - 1) * sum(-math.log(one) for one in p) / 3
    assert terms["x/b prototypes"].item() == pytest.approx(share, rel=1e-5)
    sum(terms.values()).backward()  # type: ignore[union-attr]
    assert witness.tokens["b"].values.grad[2].item() == 0
    made.epoch_end(None)
    assert made.prototypes["b"]["x"].centres[0].item() == pytest.approx(0.5 * 0.0 + 0.5 * 0.4)


def test_without_classes_it_is_refused_with_what_to_try() -> None:
    with pytest.raises(SpecError, match=r"no task has classes \(found price, size\); .* try mmpareto or ogm"):
        PMR().build({"a": 2}, tasks={"size": None, "price": None})


def test_with_some_classes_it_uses_those() -> None:
    made = PMR().build({"a": 2, "b.c": 3}, tasks={"size": None, "mood": 4, "sold": 2})
    assert made.tasks == ["mood", "sold"]
    assert made.prototypes["b.c"]["mood"].centres.shape == (4, 3)


def test_an_encoder_gets_its_plain_gradient_and_that_of_its_own_loss() -> None:
    """The network's second step: prototypes are those of the first batch, by hand."""
    alpha = 3.0
    net, plain = network(PMR(alpha=alpha, entropy=0.0)), network(NoThrottle())
    first, second = batch(seed=1, num_rows=30), batch(seed=2)
    pooled = {name: one.values.mean(dim=1).detach() for name, one in seen(net, first).tokens.items()}
    step(net, [first])
    factors = step(net, [second], number=1).factors
    step(plain, [second], number=1)
    assert max(factors.values()) > 1.01
    for name, own in pooled.items():
        loss = torch.zeros(())
        z = plain.encode(second.inputs)[name].values[:, 0]
        for task, classes in (("sold", 2), ("kind", 3)):
            loss = loss + by_hand(own, z, first, second, name, task, classes)
        parameters = list(plain.encoders[name].encoder.parameters())
        extra = torch.autograd.grad((factors[name] - 1) * loss, parameters, allow_unused=True)
        added = [one for one in extra if one is not None]
        for found, base, more in zip(gradients(net, name), gradients(plain, name), added, strict=True):
            torch.testing.assert_close(found, base + more, rtol=1e-4, atol=1e-6)


def by_hand(pooled: Tensor, z: Tensor, first: Batch, second: Batch, name: str, task: str, classes: int) -> Tensor:
    """The mean over labelled rows of the prototype loss, row by row."""
    there = first.inputs[name].present & first.targets[task].present
    labels = first.targets[task].values["target"].long()
    centres = torch.stack([pooled[there & (labels == label)].mean(dim=0) for label in range(classes)])
    target, total = second.targets[task], torch.zeros(())
    for row in range(len(z)):
        if second.inputs[name].present[row] and target.present[row]:
            distances = torch.stack([(z[row] - centre).norm() for centre in centres])
            total = total - (-distances).log_softmax(0)[int(target.values["target"][row])]
    return total / int(target.present.sum())
