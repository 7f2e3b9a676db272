"""Products of experts against Bayes' rule, computed by hand; of Gaussians against the product of their densities."""

import math

import pytest
import torch
from opinions import NUM_ROWS, build, opinions, raw, target

from motet.core.flow import Cells
from motet.tasks.rules import ProductOfNumbers


def prior_of(rule: torch.nn.Module) -> torch.Tensor:
    return rule.prior.softmax(dim=0)


def test_classes_are_bayes_for_independent_inputs() -> None:
    """Two inputs drawn independently given the class: joined posteriors are the posterior of both."""
    rule, generator = build("multiclass", "product"), torch.Generator().manual_seed(0)
    prior = torch.tensor([0.5, 0.3, 0.2])
    rule.start_from(prior.log())
    first, second = torch.rand(2, 3, 4, generator=generator).softmax(dim=2)  # p(x | class), 4 values each
    for one in range(4):
        for other in range(4):
            alone_a, alone_b = prior * first[:, one], prior * second[:, other]
            both = prior * first[:, one] * second[:, other]
            said = {"a": (alone_a / alone_a.sum()).log()[None] + 5, "b": (alone_b / alone_b.sum()).log()[None]}
            torch.testing.assert_close(rule(opinions(said)).softmax(dim=1)[0], both / both.sum())


def test_any_subset_of_the_experts_by_hand() -> None:
    rule = build("multiclass", "product", "abc")
    said = {stream: raw("multiclass", seed=seed) for seed, stream in enumerate("abc")}
    present = {"a": [1, 1, 1, 0, 0], "b": [1, 1, 0, 1, 0], "c": [1, 0, 0, 1, 0]}
    joint = rule(opinions(said, present={s: [bool(p) for p in row] for s, row in present.items()}))
    for row in range(NUM_ROWS):
        density, number = torch.ones(3), 0
        for stream in "abc":
            if present[stream][row]:
                density, number = density * said[stream][row].softmax(dim=0), number + 1
        density = density * prior_of(rule) ** (1 - number)
        torch.testing.assert_close(joint[row].softmax(dim=0), density / density.sum())


def test_shares_are_exponents() -> None:
    rule = build("multiclass", "product")
    said = {"a": torch.tensor([[0.2, 0.5, 0.3]]).log(), "b": torch.tensor([[0.6, 0.1, 0.3]]).log()}
    joint = rule(opinions(said, weights={"a": [0.75], "b": [0.25]}))
    density = torch.tensor([0.2, 0.5, 0.3]) ** 1.5 * torch.tensor([0.6, 0.1, 0.3]) ** 0.5 / prior_of(rule)
    torch.testing.assert_close(joint.softmax(dim=1)[0], density / density.sum())


@pytest.mark.parametrize("kind", ["binary", "multilabel"])
def test_every_label_is_a_problem_of_two_classes(kind: str) -> None:
    rule, said = build(kind, "product"), {stream: raw(kind, seed=seed) for seed, stream in enumerate("ab")}
    joint, prior = rule(opinions(said)).sigmoid(), rule.prior.sigmoid()
    yes = said["a"].sigmoid() * said["b"].sigmoid() / prior
    no = (1 - said["a"].sigmoid()) * (1 - said["b"].sigmoid()) / (1 - prior)
    torch.testing.assert_close(joint, yes / (yes + no))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_without_any_expert_the_answer_is_the_prior(kind: str) -> None:
    rule, nowhere = build(kind, "product"), [False] * NUM_ROWS
    said = {stream: torch.full_like(raw(kind, seed=0), torch.nan) for stream in "ab"}
    joint = rule(opinions(said, present={"a": nowhere, "b": nowhere}))
    if kind == "multiclass":
        joint = joint.log_softmax(dim=1)
    torch.testing.assert_close(joint, rule.prior.expand_as(joint))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_the_prior_is_kept_with_the_weights(kind: str) -> None:
    assert torch.equal(build(kind, "product").state_dict()["prior"], build(kind, "product").prior)
    assert "prior" not in build(kind, "mean").state_dict()


def gaussian(log_precisions: dict[str, float], streams: str = "abc") -> ProductOfNumbers:
    """With a bias as the precision, the same in every row."""
    rule = build("regression", "product", streams)
    with torch.no_grad():
        for stream, value in log_precisions.items():
            rule.log_precision[stream].bias.fill_(value)
    return rule


def test_the_mean_of_a_product_of_gaussians_is_the_top_of_the_product() -> None:
    log_precisions = {"a": 0.5, "b": -1.0, "c": 1.2}
    rule, said = gaussian(log_precisions), {s: raw("regression", seed=seed) for seed, s in enumerate("abc")}
    present = {"b": [True, False, True, True, True], "c": [True, False, False, True, True]}
    joint = rule(opinions(said, present=present))
    grid = torch.linspace(-12, 12, 240001, dtype=torch.float64)
    for row in range(NUM_ROWS):
        log_density = torch.zeros_like(grid)
        for stream, log_precision in log_precisions.items():
            if present.get(stream, [True] * NUM_ROWS)[row]:
                log_density -= math.exp(log_precision) / 2 * (grid - said[stream][row].double()) ** 2
        assert joint[row].item() == pytest.approx(grid[log_density.argmax()].item(), abs=2e-4)


def test_shares_scale_the_precisions() -> None:
    rule = gaussian({"a": math.log(2.0), "b": math.log(6.0)}, "ab")
    said = {"a": torch.tensor([1.0]), "b": torch.tensor([5.0])}
    joint = rule(opinions(said, weights={"a": [0.9], "b": [0.1]}))
    assert joint.item() == pytest.approx((1.8 * 1 + 0.6 * 5) / 2.4)


def test_precisions_are_one_at_first_and_follow_the_features() -> None:
    rule = build("regression", "product")
    said = {"a": torch.tensor([1.0, 1.0]), "b": torch.tensor([3.0, 3.0])}
    given = opinions(said, features={"a": torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]]), "b": torch.zeros(2, 3)})
    assert rule(given).tolist() == [2.0, 2.0]
    with torch.no_grad():
        rule.log_precision["a"].weight.copy_(torch.tensor([[math.log(3.0), 0, 0]]))
    torch.testing.assert_close(rule(given), torch.tensor([1.5, 2.5]))


def test_the_precision_is_trained_by_the_likelihood_of_what_is_said() -> None:
    """Against torch.distributions, but for log 2 pi; neither what is said is moved, nor what it is read from."""
    rule, said = gaussian({"a": 0.7, "b": -0.4}, "ab"), {s: raw("regression", seed=n) for n, s in enumerate("ab")}
    said["a"].requires_grad_()
    present = {"b": [True, False, True, False, True]}
    labels = target("regression", [True, True, True, False, False])
    read = {stream: torch.randn(NUM_ROWS, 3, requires_grad=True) for stream in "ab"}
    terms = rule.terms(opinions(said, present=present, features=read), labels)
    assert set(terms) == {"precision__a", "precision__b"}
    for stream, log_precision, rows in (("a", 0.7, [0, 1, 2]), ("b", -0.4, [0, 2])):
        density = torch.distributions.Normal(said[stream].detach()[rows], math.exp(-log_precision / 2))
        expected = -density.log_prob(labels.values["target"][rows]) - math.log(2 * math.pi) / 2
        torch.testing.assert_close(terms[f"precision__{stream}"].sum, expected.sum())
        assert terms[f"precision__{stream}"].count == 3
    terms["precision__a"].sum.backward()
    assert said["a"].grad is None
    assert read["a"].grad is None
    assert rule.log_precision["a"].bias.grad is not None


def test_the_term_finds_the_precision_of_the_errors() -> None:
    rule, generator = build("regression", "product", "a"), torch.Generator().manual_seed(0)
    y = torch.randn(4000, generator=generator)
    errors = torch.where(torch.arange(4000) < 2000, 0.5, 2.0) * torch.randn(4000, generator=generator)
    marks = torch.nn.functional.pad(torch.where(torch.arange(4000) < 2000, 1.0, -1.0)[:, None], (0, 2))
    given, labels = opinions({"a": y + errors}, features={"a": marks}), Cells({"target": y}, torch.ones(4000) > 0)
    optimizer = torch.optim.LBFGS(rule.parameters(), max_iter=100)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        term = rule.terms(given, labels)["precision__a"]
        (term.sum / term.count).backward()
        return term.sum / term.count

    optimizer.step(loss)
    found = rule.log_precision["a"](marks[[0, -1]]).exp().detach()[:, 0]
    torch.testing.assert_close(found, torch.tensor([4.0, 0.25]), rtol=0.1, atol=0)


def test_for_numbers_confidence_is_precision() -> None:
    assert isinstance(build("regression", "uncertainty"), ProductOfNumbers)
