"""Dempster's combination and the evidential loss against the published formulas, written out."""

import math
from itertools import permutations

import pytest
import torch
from opinions import build, opinions, raw, target
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from motet.core.flow import Cells
from motet.tasks.rules.dirichlet import combined, divergence, opinion_loss

NO_KL = torch.tensor(0.0)


def dempster(first: list[float], second: list[float]) -> list[float]:
    """Alpha of two opinions, combined as in the paper: beliefs, uncertainties, conflict."""
    classes = len(first)
    opinions = [([(a - 1) / sum(alpha) for a in alpha], classes / sum(alpha)) for alpha in (first, second)]
    (b1, u1), (b2, u2) = opinions
    conflict = sum(b1[i] * b2[j] for i in range(classes) for j in range(classes) if i != j)
    belief = [(b1[k] * b2[k] + b1[k] * u2 + b2[k] * u1) / (1 - conflict) for k in range(classes)]
    uncertainty = u1 * u2 / (1 - conflict)
    assert sum(belief) + uncertainty == pytest.approx(1.0)
    total = classes / uncertainty
    return [b * total + 1 for b in belief]


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_two_and_three_opinions_in_any_order(classes: int) -> None:
    alphas = 1 + 6 * torch.rand(3, classes, generator=torch.Generator().manual_seed(classes))
    two = dempster(alphas[0].tolist(), alphas[1].tolist())
    torch.testing.assert_close(combined(alphas[:2].log()).exp(), torch.tensor(two))
    for order in permutations(range(3)):
        first, second, third = (alphas[index].tolist() for index in order)
        three = torch.tensor(dempster(dempster(first, second), third))
        torch.testing.assert_close(combined(alphas[list(order)].log()).exp(), three)


def test_no_evidence_is_neutral_and_agreement_adds_up() -> None:
    alpha, vacuous = torch.tensor([4.0, 1.5, 1.0]), torch.ones(3)
    torch.testing.assert_close(combined(torch.stack([alpha, vacuous]).log()).exp(), alpha)
    both = combined(torch.stack([alpha, alpha]).log()).exp()
    assert both.sum() > 2 * alpha.sum() - 3  # more evidence than the sum
    assert both[0] / both.sum() > alpha[0] / alpha.sum()


def test_conflict_leaves_the_less_certain_with_less() -> None:
    sure, unsure = [20.0, 1.0, 1.0], [1.0, 3.0, 1.0]
    joint = combined(torch.tensor([sure, unsure]).log()).exp()
    assert joint.argmax() == 0


def test_streams_of_classes_are_softplus_evidence_and_absent_ones_are_skipped() -> None:
    rule = build("multiclass", "evidential", "abc")
    raws = {stream: raw("multiclass", seed=seed) for seed, stream in enumerate("abc")}
    present = {"a": [True, True, True, False, False], "b": [True, True, False, True, False], "c": [True] + [False] * 4}
    joint = rule(opinions({stream: rule.stated(one) for stream, one in raws.items()}, present=present))
    for row in range(5):
        alpha = [1.0, 1.0, 1.0]
        for stream in "abc":
            if present[stream][row]:
                alpha = dempster(alpha, [1 + math.log1p(math.exp(z)) for z in raws[stream][row].tolist()])
        torch.testing.assert_close(joint[row].exp(), torch.tensor(alpha))


def test_decoded_probabilities_are_expected_ones() -> None:
    rule = build("multiclass", "evidential", "a")
    output = rule.stated(torch.tensor([[1.0, -2.0, 0.0]]))
    alpha = 1 + torch.nn.functional.softplus(torch.tensor([1.0, -2.0, 0.0]))
    torch.testing.assert_close(output.softmax(dim=1)[0], alpha / alpha.sum())


@pytest.mark.parametrize("kind", ["binary", "multilabel"])
def test_logits_are_opinions_for_the_likelier_label(kind: str) -> None:
    rule, said = build(kind, "evidential"), {stream: raw(kind, seed=seed) for seed, stream in enumerate("ab")}
    joint = rule(opinions(said)).reshape(-1).tolist()
    for place, (a, b) in enumerate(zip(*(said[stream].reshape(-1).tolist() for stream in "ab"), strict=True)):
        no, yes = dempster(*([math.exp(max(-z, 0.0)), math.exp(max(z, 0.0))] for z in (a, b)))
        assert joint[place] == pytest.approx(math.log(yes / no), rel=1e-4, abs=1e-5)


def test_large_evidence_neither_overflows_nor_cancels() -> None:
    log_alpha = torch.tensor([[80.0, 0.0], [70.0, 3.0], [0.0, 0.0]], requires_grad=True)
    joint = combined(log_alpha)
    torch.testing.assert_close(joint[0].detach(), torch.tensor(150 - math.log(2)))
    loss = opinion_loss(joint, torch.tensor([False, True]), torch.tensor(1.0))
    loss.backward()
    assert loss.isfinite()
    assert log_alpha.grad.isfinite().all()


def expected_cross_entropy(alpha: Tensor, label: int) -> Tensor:
    """Numerically: the mean of -log p_y over many draws of the Dirichlet."""
    torch.manual_seed(0)
    return -Dirichlet(alpha).sample((400_000,))[:, label].log().mean()


def test_the_fit_is_the_expected_cross_entropy() -> None:
    alpha = torch.tensor([3.0, 1.5, 6.0])
    found = opinion_loss(alpha.log(), torch.tensor([False, False, True]), NO_KL)
    torch.testing.assert_close(found, expected_cross_entropy(alpha, 2), rtol=5e-3, atol=0)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_divergence_is_that_of_torch(classes: int) -> None:
    alpha = 1 + 100 * torch.rand(50, classes, generator=torch.Generator().manual_seed(0)).double() ** 4
    expected = kl_divergence(Dirichlet(alpha), Dirichlet(torch.ones(50, classes).double()))
    torch.testing.assert_close(divergence(alpha.log()), expected)


def test_the_divergence_of_large_evidence_goes_on_as_it_did() -> None:
    """Beyond where leading terms are used: the same value at the seam, the same slope after it."""
    for evidence in (torch.tensor([1.0, 0.0, 0.0]), torch.tensor([1.0, 0.7, 0.0])):
        at = torch.tensor([11.0, 11.999, 12.001, 13.0]).double()
        alpha = (at[:, None] * evidence).exp()
        expected = kl_divergence(Dirichlet(alpha), Dirichlet(torch.ones(4, 3).double()))
        torch.testing.assert_close(divergence(at[:, None] * evidence), expected, rtol=0, atol=1e-4)


def test_the_loss_of_a_row_by_hand_and_its_annealing() -> None:
    rule = build("multiclass", "evidential", "a")
    alpha = torch.tensor([[2.0, 5.0, 1.2]])
    labels = Cells({"target": torch.tensor([1])}, torch.tensor([True]))
    fit = torch.digamma(alpha.sum()) - torch.digamma(alpha[0, 1])
    pull = kl_divergence(Dirichlet(torch.tensor([2.0, 1.0, 1.2])), Dirichlet(torch.ones(3)))
    for epoch in range(13):
        torch.testing.assert_close(rule.loss(alpha.log(), labels)[0], fit + min(1.0, epoch / 10) * pull)
        rule.epoch_end()


def test_the_loss_of_several_labels_is_their_mean() -> None:
    rule, said, labels = build("multilabel", "evidential", "a"), raw("multilabel", seed=3), target("multilabel")
    rule.epoch_end()
    found = rule.loss(said, labels)
    for row in range(5):
        total = torch.zeros(())
        for z, y in zip(said[row], labels.values["target"][row], strict=True):
            alpha = torch.stack([(-z).clamp(min=0), z.clamp(min=0)]).exp()
            misleading = torch.where(torch.tensor([y < 0.5, y > 0.5]), 1.0, alpha)
            total += torch.digamma(alpha.sum()) - torch.digamma(alpha[int(y)])
            total += 0.1 * kl_divergence(Dirichlet(misleading), Dirichlet(torch.ones(2)))
        torch.testing.assert_close(found[row], total / 3)


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_the_epoch_survives_a_resume(kind: str) -> None:
    rule, again = build(kind, "evidential"), build(kind, "evidential")
    for _ in range(7):
        rule.epoch_end()
    said = rule.stated(raw(kind, seed=0))
    assert not torch.equal(rule.loss(said, target(kind)), again.loss(said, target(kind)))
    again.load_state_dict(rule.state_dict())
    assert torch.equal(rule.loss(said, target(kind)), again.loss(said, target(kind)))


def test_a_prior_is_an_opinion_with_its_probabilities() -> None:
    """The prior that answers rows without inputs is a log frequency, which no alpha above 1 has for its logarithm."""
    rule, prior = build("multiclass", "evidential"), torch.tensor([[0.5, 0.3, 0.2]]).log().requires_grad_()
    labels = Cells({"target": torch.tensor([1])}, torch.tensor([True]))
    alpha = torch.tensor([2.5, 1.5, 1.0])
    expected = torch.digamma(alpha.sum()) - torch.digamma(alpha[1])
    loss = rule.loss(prior, labels)
    torch.testing.assert_close(loss[0], expected)
    loss.sum().backward()
    assert prior.grad.isfinite().all()
    assert prior.grad[0, 1] < 0


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_misleading_evidence_goes_when_the_divergence_counts(kind: str) -> None:
    rule, labels = build(kind, "evidential", "a"), target(kind)
    for _ in range(10):
        rule.epoch_end()
    z = raw(kind, seed=5).requires_grad_()
    optimizer = torch.optim.Adam([z], 0.1)
    for _ in range(300):
        optimizer.zero_grad()
        rule.loss(rule.stated(z), labels).sum().backward()
        optimizer.step()
    log_alpha = rule.log_alpha(rule.stated(z)).detach()
    is_label = rule.labelled(labels.values["target"], log_alpha.shape[-1])
    assert log_alpha[~is_label].max() < 0.15
    assert log_alpha[is_label].min() > 1.0
