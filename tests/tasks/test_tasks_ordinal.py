import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.metrics import accuracy_score, cohen_kappa_score, mean_absolute_error

from motet.core.errors import CellError, DataError
from motet.core.flow import Cells
from motet.tasks import Ordinal, OrdinalCodec
from motet.tasks.ordinal import OrdinalHead

LEVELS = ("low", "medium", "high")


def scores(codec: OrdinalCodec, output: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    return {metric.name: metric.compute(output, target) for metric in codec.metrics()}


def saying(*numbers: int, levels: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(numbers), levels).float() * 9


# --- labels


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        ([3, "10", 1.0, 3], (1.0, 3, "10")),
        (["c", "A", "b", "c"], ("A", "b", "c")),
        (["grade 10", "grade 9", "grade 10"], ("grade 9", "grade 10")),
        (["-1", "2.5", "0"], ("-1", "0", "2.5")),
    ],
)
def test_labels_that_have_an_order_are_put_in_it(labels: list[Any], order: tuple[Any, ...]) -> None:
    assert Ordinal().fit(labels).classes == order


@pytest.mark.parametrize("labels", [["low", "high", "medium"], [True, False], ["grade 1", "class 2"], ["1", "two"]])
def test_an_order_that_spelling_does_not_tell_is_asked_for(labels: list[Any]) -> None:
    with pytest.raises(DataError, match=r"does not tell their order .*levels: \["):
        Ordinal().fit(labels)


def test_levels_are_in_the_order_written_whatever_occurs() -> None:
    codec = Ordinal(levels=LEVELS).fit(["high", "low", "high"])
    assert codec.classes == LEVELS
    assert [int(codec.read(label)) for label in LEVELS] == [0, 1, 2]
    assert Ordinal().resolved(Ordinal().fit([2, 1])).levels == (1, 2)


def test_what_can_not_be_learned_is_refused() -> None:
    with pytest.raises(DataError, match="no training row has a label"):
        Ordinal().fit([None, [1]])
    with pytest.raises(DataError, match="the same one, '5': there is nothing to learn"):
        Ordinal(levels=(4, 5)).fit([5, "5"])
    with pytest.raises(DataError, match="'midium' is not among the levels; did you mean 'medium'"):
        Ordinal(levels=LEVELS).fit(["low", "midium"])
    with pytest.raises(DataError, match="each of the 30 labels occurs once"):
        Ordinal().fit(range(30))
    with pytest.raises(ValidationError, match="each level is named once"):
        Ordinal(levels=(1, "1"))
    with pytest.raises(ValidationError, match="at least 2 items"):
        Ordinal(levels=("only",))


def test_a_label_that_is_no_level_is_the_worst_miss_and_teaches_nothing() -> None:
    """Answers 0, 1 and 3 of 0 ... 3: an unknown truth lies at 3, 3 and 0; in their own units at 9, 9 and 1."""
    codec = Ordinal().fit([1, 2, 5, 9])
    assert not codec.knows(4)
    assert codec.knows("5")
    with pytest.raises(CellError, match="a label is text"):
        codec.read([1])
    target = torch.tensor([int(codec.read(7))] * 3)
    assert target.tolist() == [-1, -1, -1]
    found = scores(codec, saying(0, 1, 3, levels=4), target)
    assert found["accuracy"] == 0
    assert found["mae"] == pytest.approx((8 + 7 + 8) / 3)
    known = scores(codec, saying(0, 1, 3, levels=4), torch.tensor([3, 3, 0]))
    assert found["quadratic_kappa"] == pytest.approx(known["quadratic_kappa"])
    cells = Cells({"target": target}, torch.ones(3, dtype=torch.bool))
    assert Ordinal().loss(saying(0, 1, 3, levels=4), cells).tolist() == [0, 0, 0]


# --- the model


def test_probabilities_by_hand() -> None:
    """Cut points at -1 and 1, a score of 1: s(-2), s(0) - s(-2), 1 - s(0)."""
    head = OrdinalHead(1, num_classes=3)
    head.start_from(torch.tensor([expit(-1.0), expit(1.0) - expit(-1.0), 1 - expit(1.0)]).log())
    torch.nn.init.ones_(head.linear.weight)
    expected = [expit(-2.0), 0.5 - expit(-2.0), 0.5]
    torch.testing.assert_close(head(torch.ones(1, 1)).exp()[0], torch.tensor(expected, dtype=torch.float32))


@given(st.integers(2, 7), st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_it_is_the_proportional_odds_model(levels: int, seed: int) -> None:
    """Probabilities are positive and sum to 1, and a row shifts the log odds of every "at most k" by the same."""
    torch.manual_seed(seed)
    head = OrdinalHead(3, num_classes=levels).double()
    torch.nn.init.normal_(head.cuts, std=2)
    features = torch.randn(5, 3, dtype=torch.float64)
    probability = head(features).exp().detach().numpy()
    assert (probability > 0).all()
    assert np.allclose(probability.sum(1), 1)
    log_odds = logit(probability.cumsum(1)[:, :-1])
    shift = (features @ head.linear.weight.T).detach().numpy()
    assert np.allclose(log_odds + shift, (log_odds + shift)[:1], atol=1e-8)


def test_it_finds_the_maximum_of_the_likelihood() -> None:
    """Beside a search by scipy over weights and cut points, with the probabilities as plain differences."""
    chance = np.random.default_rng(0)
    x = chance.normal(size=(300, 2))
    y = np.digitize(x @ [1.0, -0.5] + chance.logistic(size=300), [-1.0, 0.0, 2.0])

    def unlikelihood(parameters: np.ndarray) -> float:
        below = expit(np.sort(parameters[2:]) - (x @ parameters[:2])[:, None])
        padded = np.concatenate([np.zeros((300, 1)), below, np.ones((300, 1))], axis=1)
        return float(-np.log(np.diff(padded, axis=1)[np.arange(300), y]).mean())

    expected = minimize(unlikelihood, [0, 0, -1, 0, 1], method="BFGS")
    torch.manual_seed(0)
    head, cells = OrdinalHead(2, num_classes=4).double(), Cells({"target": torch.from_numpy(y)}, torch.ones(300) > 0)
    search = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        search.zero_grad()
        rows = torch.nn.functional.nll_loss(head(torch.from_numpy(x)), cells.values["target"])
        rows.backward()
        return rows

    search.step(closure)
    assert float(closure().detach()) == pytest.approx(expected.fun, abs=1e-6)
    assert head.linear.weight.detach().numpy()[0] == pytest.approx(expected.x[:2], abs=1e-3)
    assert Ordinal().loss(head(torch.from_numpy(x)), cells).mean().item() == pytest.approx(expected.fun, abs=1e-5)


def test_far_rows_and_rare_levels_stay_finite() -> None:
    head = OrdinalHead(1, num_classes=4)
    head.start_from(torch.tensor([1.0, 1e-9, 1e-9, 1.0]).log())
    features = torch.tensor([[1e6], [-1e6], [0.0]], requires_grad=True)
    output = head(features)
    output.exp().sum().backward()
    assert bool(output.isfinite().all())
    assert all(bool(one.grad.isfinite().all()) for one in (features, *head.parameters()) if one.grad is not None)


def test_two_levels_are_logistic_regression() -> None:
    head = OrdinalHead(2, num_classes=2)
    features = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    logits = head.linear(features)[:, 0] - head.cuts[0]
    torch.testing.assert_close(head(features).exp()[:, 1], logits.sigmoid())


# --- answers and scores


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6))
@settings(deadline=None)
def test_no_answer_is_expected_to_be_nearer_than_the_median(weights: list[float]) -> None:
    codec = OrdinalCodec(classes=tuple(range(len(weights))))
    probability = np.array(weights) / sum(weights)
    decoded = codec.decode(torch.tensor(np.log([probability])))
    answer = decoded[""][0]
    expected = [sum(p * abs(k - j) for j, p in enumerate(probability)) for k in range(len(weights))]
    assert expected[answer] <= min(expected) + 1e-9
    assert decoded["probability"][0] == pytest.approx(probability[answer])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
@settings(deadline=None)
def test_metrics_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    answer, truth = np.array(pairs).T
    worth = np.array([0.0, 1.0, 2.5, 7.0])
    codec = OrdinalCodec(classes=tuple(worth.tolist()))
    output, target = saying(*answer.tolist(), levels=4), torch.from_numpy(truth)
    found = scores(codec, output, target)
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, answer))
    assert found["mae"] == pytest.approx(mean_absolute_error(worth[truth], worth[answer]))
    constant = len({*answer.tolist(), *truth.tolist()}) == 1
    assert math.isnan(found["quadratic_kappa"]) == constant
    if not constant:
        kappa = cohen_kappa_score(truth, answer, weights="quadratic", labels=range(4))
        assert found["quadratic_kappa"] == pytest.approx(kappa, abs=1e-9)


def test_words_are_as_far_apart_as_their_ranks() -> None:
    codec = Ordinal(levels=LEVELS).fit(LEVELS)
    assert scores(codec, saying(0, 2, levels=3), torch.tensor([2, 1]))["mae"] == 1.5


def test_rows_drawn_again_are_scored_without_a_second_look() -> None:
    codec = Ordinal().fit([1, 2, 3])
    output = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    target = torch.arange(20) % 3
    rows = torch.tensor([0, 0, 5, 7, 19, 3])
    for metric in codec.metrics():
        assert metric.of_rows(output, target)(rows) == pytest.approx(metric.compute(output[rows], target[rows]))
    output[7] = torch.nan
    assert all(math.isnan(metric.of_rows(output, target)(rows)) for metric in codec.metrics())
