"""Mixtures of normal-inverse-gammas by hand, and the likelihood against the Student t of torch."""

import math

import pytest
import torch
from opinions import build, opinions, raw, target
from torch import Tensor
from torch.distributions import StudentT

from motet.tasks.rules import EvidentialOfNumbers
from motet.tasks.rules.normalgamma import evidence_loss

Parts = tuple[float, float, float, float]
FLOOR = 1e-6


def added(first: Parts, second: Parts) -> Parts:
    """The published sum of two: (gamma, nu, alpha, beta)."""
    (g1, n1, a1, b1), (g2, n2, a2, b2) = first, second
    gamma = (n1 * g1 + n2 * g2) / (n1 + n2)
    beta = b1 + b2 + 0.5 * (n1 * (g1 - gamma) ** 2 + n2 * (g2 - gamma) ** 2)
    return gamma, n1 + n2, a1 + a2 + 0.5, beta


def seeded(streams: str = "abc") -> EvidentialOfNumbers:
    """With layers that are not 0."""
    rule = build("regression", "evidential", streams)
    with torch.no_grad():
        for seed, (_, layer) in enumerate(rule.evidence.items()):
            layer.weight.copy_(torch.randn(3, 3, generator=torch.Generator().manual_seed(seed)))
    return rule


def parts_of(rule: EvidentialOfNumbers, stream: str, features: Tensor, gamma: float) -> Parts:
    nu, alpha, beta = torch.nn.functional.softplus(rule.evidence[stream](features)).tolist()
    return gamma, nu + FLOOR, alpha + 1 + FLOOR, beta + FLOOR


def test_the_answer_is_the_gamma_of_the_published_sum() -> None:
    rule, said = seeded(), {stream: raw("regression", seed=seed) for seed, stream in enumerate("abc")}
    present = {
        "a": [True, True, True, True, False],
        "b": [True, True, True, False, True],
        "c": [True] * 2 + [False] * 3,
    }
    given = opinions(said, present=present)
    joint = rule(given)
    for row in range(5):
        heard = [s for s in "abc" if present[s][row]]
        parts = [parts_of(rule, s, given[s].features[row], said[s][row].item()) for s in heard]
        total = parts[0]
        for part in parts[1:]:
            total = added(total, part)
        assert joint[row].item() == pytest.approx(total[0], rel=1e-5, abs=1e-6)


def test_streams_count_the_same_at_first() -> None:
    said = {"a": torch.tensor([1.0]), "b": torch.tensor([4.0])}
    assert build("regression", "evidential")(opinions(said)).item() == pytest.approx(2.5)


def test_the_likelihood_is_that_of_a_student_t() -> None:
    generator = torch.Generator().manual_seed(0)
    nu, more, beta = 0.1 + 3 * torch.rand(3, 40, generator=generator)
    gamma, y = torch.randn(2, 40, generator=generator)
    alpha = 1 + more
    scale = (beta * (1 + nu) / (nu * alpha)).sqrt()
    expected = -StudentT(2 * alpha, gamma, scale).log_prob(y) + 0.01 * (y - gamma).abs() * (2 * nu + alpha)
    torch.testing.assert_close(evidence_loss(gamma - y, nu, alpha, beta), expected)


def test_the_terms_are_the_streams_own_where_they_are_present_and_labelled() -> None:
    rule, said = seeded("ab"), {stream: raw("regression", seed=seed) for seed, stream in enumerate("ab")}
    given = opinions(said, present={"b": [True, False, True, True, False]})
    labels = target("regression", [True, True, False, True, True])
    terms = rule.terms(given, labels)
    for stream, rows in (("a", [0, 1, 3, 4]), ("b", [0, 3])):
        expected = 0.0
        for row in rows:
            g, nu, alpha, beta = parts_of(rule, stream, given[stream].features[row], said[stream][row].item())
            error, omega = labels.values["target"][row].item() - g, 2 * beta * (1 + nu)
            expected += 0.5 * math.log(math.pi / nu) - alpha * math.log(omega)
            expected += (alpha + 0.5) * math.log(error**2 * nu + omega) + math.lgamma(alpha) - math.lgamma(alpha + 0.5)
            expected += 0.01 * abs(error) * (2 * nu + alpha)
        assert terms[f"evidence__{stream}"].sum.item() == pytest.approx(expected, rel=1e-4)
        assert terms[f"evidence__{stream}"].count == 4


def test_what_is_said_learns_from_the_likelihood_too() -> None:
    said = raw("regression", seed=0).requires_grad_()
    term = seeded("a").terms(opinions({"a": said}), target("regression", [True, False, True, True, True]))
    term["evidence__a"].sum.backward()
    assert said.grad[[0, 2, 3, 4]].all()
    assert said.grad[1] == 0


def test_the_joint_loss_is_the_error_that_the_task_chose() -> None:
    rule, labels = build("regression", "evidential"), target("regression")
    output = raw("regression", seed=0)
    torch.testing.assert_close(rule.loss(output, labels), (output - labels.values["target"]).square())
