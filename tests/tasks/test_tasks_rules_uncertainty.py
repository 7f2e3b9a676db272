"""Weights by energy, and the ranking that trains them, by hand."""

import math

import pytest
import torch
from opinions import build, opinions, raw, target

from motet.core.flow import Cells


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_weights_of_classes_by_hand() -> None:
    first, second = [1.0, 2.0, -1.0], [0.5, -3.0, 0.0]
    energies = [math.log(sum(map(math.exp, one))) for one in (first, second)]
    share = softplus(energies[0]) / (softplus(energies[0]) + softplus(energies[1]))
    joint = build("multiclass", "uncertainty")(opinions({"a": torch.tensor([first]), "b": torch.tensor([second])}))
    expected = [share * a + (1 - share) * b for a, b in zip(first, second, strict=True)]
    torch.testing.assert_close(joint, torch.tensor([expected]), rtol=1e-4, atol=1e-5)


def test_weights_of_labels_by_hand_each_on_its_own() -> None:
    first, second = [4.0, -0.2, 0.0], [-1.0, -6.0, 2.0]
    joint = build("multilabel", "uncertainty")(opinions({"a": torch.tensor([first]), "b": torch.tensor([second])}))
    for label, (a, b) in enumerate(zip(first, second, strict=True)):
        sure = [softplus(math.log(math.exp(z / 2) + math.exp(-z / 2))) for z in (a, b)]
        assert joint[0, label].item() == pytest.approx((sure[0] * a + sure[1] * b) / sum(sure), rel=1e-4)


def test_yes_and_no_are_as_sure_as_each_other() -> None:
    rule, said = build("binary", "uncertainty"), {"a": torch.tensor([-4.0]), "b": torch.tensor([0.5])}
    turned = {stream: -one for stream, one in said.items()}
    torch.testing.assert_close(rule(opinions(turned)), -rule(opinions(said)))
    assert rule(opinions(said)).item() < -2.0  # the surer stream counts for more than half


def test_a_sure_stream_outweighs_one_that_says_nothing() -> None:
    said = {"a": torch.tensor([[9.0, 0.0, 0.0]]), "b": torch.tensor([[0.0, 0.0, 0.0]])}
    joint = build("multiclass", "uncertainty")(opinions(said))
    assert joint[0, 0].item() == pytest.approx(9 * 9 / (9 + softplus(math.log(3))), rel=1e-3)


def test_weights_pass_no_gradient_back() -> None:
    """The gradient of the joint output is the weight alone."""
    rule, z = build("binary", "uncertainty"), torch.tensor([2.0], requires_grad=True)
    rule(opinions({"a": z, "b": torch.tensor([-1.0])})).sum().backward()
    sure = [softplus(math.log(math.exp(v / 2) + math.exp(-v / 2))) for v in (2.0, -1.0)]
    assert z.grad.item() == pytest.approx(sure[0] / sum(sure), rel=1e-4)


def ranked_by_hand(confidence: list[float], losses: list[float]) -> float:
    low, high = min(losses), max(losses)
    worse = [(loss - low) / (high - low) for loss in losses]
    total = 0.0
    for i in range(len(losses)):
        j = (i + 1) % len(losses)
        ahead = worse[i] - worse[j]
        sign = (ahead > 0) - (ahead < 0)
        total += 0.1 * max(0.0, sign * (confidence[i] - confidence[j]) + abs(ahead))
    return total


def test_the_rank_of_classes_by_hand() -> None:
    rule, said = build("multiclass", "uncertainty"), {"a": raw("multiclass", seed=1), "b": raw("multiclass", seed=2)}
    present, labelled = {"b": [True, False, True, True, True]}, [True, True, True, False, True]
    labels = target("multiclass", labelled)
    terms = rule.terms(opinions(said, present=present), labels)
    for stream, rows in (("a", [0, 1, 2, 4]), ("b", [0, 2, 4])):
        chosen, number = said[stream][rows], labels.values["target"][rows]
        losses = [-math.log(z.softmax(dim=0)[y].item()) for z, y in zip(chosen, number, strict=True)]
        confidence = [math.log(sum(math.exp(v) for v in z)) / 10 for z in chosen.tolist()]
        assert terms[f"rank__{stream}"].sum.item() == pytest.approx(ranked_by_hand(confidence, losses), rel=1e-4)
        assert terms[f"rank__{stream}"].count == len(rows)


def test_the_rank_of_labels_is_the_mean_over_them() -> None:
    rule, said, labels = build("multilabel", "uncertainty", "a"), raw("multilabel", seed=1), target("multilabel")
    expected = 0.0
    for label in range(3):
        z, y = said[:, label].tolist(), labels.values["target"][:, label].tolist()
        losses = [-math.log(1 / (1 + math.exp(-v if t else v))) for v, t in zip(z, y, strict=True)]
        confidence = [math.log(math.exp(v / 2) + math.exp(-v / 2)) / 10 for v in z]
        expected += ranked_by_hand(confidence, losses) / 3
    term = rule.terms(opinions({"a": said}), labels)["rank__a"]
    assert term.sum.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("labelled", [[False] * 5, [False, False, True, False, False]])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_fewer_than_two_rows_can_not_be_ranked(kind: str, labelled: list[bool]) -> None:
    said = raw(kind, seed=1).requires_grad_()
    term = build(kind, "uncertainty", "a").terms(opinions({"a": said}), target(kind, labelled))["rank__a"]
    assert term.sum.item() == 0
    assert term.count == 1
    term.sum.backward()
    assert not said.grad.any()


def test_rows_of_equal_loss_need_not_be_ranked() -> None:
    said = torch.tensor([[1.0, 0.0, 0.0]] * 4)
    labels = Cells({"target": torch.zeros(4, dtype=torch.int64)}, torch.ones(4) > 0)
    assert build("multiclass", "uncertainty", "a").terms(opinions({"a": said}), labels)["rank__a"].sum == 0


def test_ranking_makes_rows_of_greater_loss_less_sure() -> None:
    """The shift of all logits, which changes no class, falls where the label was missed."""
    said = torch.tensor([[3.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    shift = torch.zeros(2, 1, requires_grad=True)
    labels = Cells({"target": torch.tensor([0, 2])}, torch.ones(2) > 0)
    build("multiclass", "uncertainty", "a").terms(opinions({"a": said + shift}), labels)["rank__a"].sum.backward()
    assert shift.grad[0].item() < 0 < shift.grad[1].item()
